/* The load: what the parts of the compiled client share. `main.c` says what it does. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_STEPS 16
#define PATIENCE_SECONDS 15.0

typedef struct { char *data; size_t length, room; } Bytes;

typedef struct { bool awaits; const char *text; } Step;     /* of a prologue: await a message, or send one */
typedef struct { Step steps[MAX_STEPS]; int count; } Prologue;  /* what a connection does before it counts as open */

typedef struct {
    const char *host, *path;
    int port, connections, stalled, in_flight;
    bool deflate;
    const char *stream;             /* they are event streams from this path, and one WebSocket more talks */
    Prologue prologue, greeting;    /* of a WebSocket; of an event stream */
    const char *publish;            /* how a message is sent: $payload */
    const char *delivered;          /* how it comes back: $payload; NULL: the message contains it, as it is */
    bool joined;                    /* a message that is a JSON array holds so many deliveries */
    const char *acknowledge;        /* what each delivery is answered with: $name is that member of the delivery */
    const char *asked, *reply;      /* a message that is answered, and no delivery */
    const char *ignored;            /* messages that begin so are no deliveries */
} Options;

typedef struct {
    int fd, step;                   /* step: of the prologue */
    bool streams;                   /* an event stream, and no WebSocket */
    bool upgraded, open;            /* the handshake is over; the prologue is, too */
    bool stalled;                   /* never reads once it is open */
    bool takeover;                  /* the server compresses in the context of what it sent before */
    bool fragmented, compressed;    /* of the message whose fragments are coming */
    int window_bits;                /* of the server's compressor */
    size_t chunk_left;              /* of an event stream: bytes of the chunk's data that are still to come */
    char chunk_line[24];            /* what has come of the line before, or behind, the data */
    int chunk_line_length;
    bool chunk_ends;                /* it is the line behind */
    size_t matched;                 /* bytes of the expected frame, or event, that have come */
    long long number;               /* the message that must come next */
    Bytes response, pending, fragments;
    void *inflater;
} Connection;

typedef struct {                    /* one broadcast that is on its way */
    Bytes payload, message;         /* what is broadcast; what each connection must receive */
    Bytes frame;                    /* the same in one unfragmented, uncompressed frame, or as an event of a stream */
    Bytes deflated;                 /* compressed, as it came, was inflated and was found right */
    int left;                       /* connections that have not got it yet */
    double sent_at;
} Slot;

extern Options options;
extern Connection *connections;
extern long long sent;              /* broadcasts sent so far; the next one's number */

/* main.c */
int everyone(void);                 /* with who talks, where that is no other's part */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
double now(void);
void append(Bytes *bytes, const char *data, size_t length);

/* messages.c */
void set_slots(int count);
Slot *slot_of(long long number);
void fill_slot(Slot *slot, long long number, size_t size);
void expand(Bytes *to, const char *template, const char *name, const char *value, size_t length);

/* frames.c */
void put_frame(Bytes *to, int opcode, bool masked, const char *data, size_t length);
void send_frame(Connection *connection, int opcode, const char *data, size_t length);
void receive(Connection *connection, const char *data, size_t length);
bool take_expected(Connection *connection, const char **data, size_t *length);
void fail(const Connection *connection, const char *what, const char *got, size_t length) __attribute__((noreturn));

/* stream.c */
void put_event(Bytes *to, const char *data, size_t length);
void receive_stream(Connection *connection, const char *data, size_t length);

/* delivery.c */
bool begins(const char *data, size_t length, const char *prefix);
void message(Connection *connection, const char *data, size_t length, bool compressed);
void delivered(Connection *connection);

/* deflate.c */
bool can_inflate(void);
void inflate_message(Connection *connection, const char *data, size_t length, Bytes *to);

/* sockets.c */
void send_all(int fd, const char *data, size_t length);
void open_all(int poll);
void opening(Connection *connection, const char *data, size_t length);
const Prologue *prologue_of(const Connection *connection);
void run_prologue(Connection *connection);
const char *agreed_extensions(void);
extern int opened;

#endif
