/* The load: N connections, one of which talks; closed loop with W broadcasts outstanding; every byte is checked.
 *
 * Usage: client HOST PORT PATH CONNECTIONS OUTSTANDING BYTES WARM_UP_SECONDS MEASURED_SECONDS
 *
 * Connection 0 sends text messages of BYTES bytes, numbered; the server must send each of them, unchanged, to all
 * connections, in order. When all of them have message n, message n + W is sent. Prints "measuring" when the
 * warm-up is over and one line of JSON at the end. benchmarks/client.py does the same in Python.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STALL_MS 15000
#define MAX_TIMES 4000000

typedef struct { int fd; long long position; } Connection; /* position: bytes received of the endless stream */

static Connection *connections;
static int count, outstanding, size, frame_size;
static char *frames;       /* what the server must send, for the last W messages */
static char *request;      /* what connection 0 sends */
static int *left;          /* connections that have not got the message yet, for the last W messages */
static double *sent_at;    /* when connection 0 sent it, for the last W messages */
static long long sent, done;
static double *times;      /* seconds to the last of N, for each measured message */
static long measured;

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void send_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) die("send: %s", strerror(errno));
        if (n > 0) { data += n; length -= (size_t)n; }
    }
}

static int handshake(const struct sockaddr_in *address, const char *host, const char *path) {
    char text[1024], *end = text;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        die("connect: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     path, host, ntohs(address->sin_port));
    send_all(fd, text, (size_t)n);
    while (end < text + sizeof text - 1) { /* byte by byte: nothing after the response may be lost */
        if (recv(fd, end, 1, 0) != 1) die("the server hung up during the handshake");
        *++end = 0;
        if (end - text >= 4 && memcmp(end - 4, "\r\n\r\n", 4) == 0) break;
    }
    if (strncmp(text, "HTTP/1.1 101", 12) != 0 || !strstr(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        die("the handshake was refused: %.40s", text);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

/* RFC 6455 section 5.2; a masking key of zeros leaves the payload as it is. */
static int put_header(char *frame, int masked) {
    int length = 0;
    frame[length++] = (char)0x81;
    if (size < 126) {
        frame[length++] = (char)(size | (masked ? 0x80 : 0));
    } else {
        frame[length++] = (char)(126 | (masked ? 0x80 : 0));
        frame[length++] = (char)(size >> 8);
        frame[length++] = (char)(size & 0xff);
    }
    if (masked) { memset(frame + length, 0, 4); length += 4; }
    return length;
}

static void send_next(void) {
    int slot = (int)(sent % outstanding);
    char *frame = frames + (size_t)slot * frame_size, start[128];
    int header = put_header(frame, 0);
    int n = snprintf(start, sizeof start,
                     "{\"type\":\"message\",\"room\":\"general\",\"from\":\"ada\",\"id\":%012lld,\"text\":\"", sent);
    if (n + 2 > size) die("BYTES must be at least %d", n + 2);
    memset(frame + header, 'x', (size_t)size);
    memcpy(frame + header, start, (size_t)n);
    memcpy(frame + header + size - 2, "\"}", 2);
    int masked = put_header(request, 1);
    memcpy(request + masked, frame + header, (size_t)size);
    left[slot] = count;
    sent_at[slot] = now();
    sent++;
    send_all(connections[0].fd, request, (size_t)(masked + size));
}

/* Compare what came with what must come. */
static void check(Connection *connection, const char *data, ssize_t length) {
    while (length > 0) {
        long long number = connection->position / frame_size;
        int offset = (int)(connection->position % frame_size), slot = (int)(number % outstanding);
        int part = frame_size - offset < length ? frame_size - offset : (int)length;
        if (number >= sent) die("a message that nobody sent");
        if (memcmp(data, frames + (size_t)slot * frame_size + offset, (size_t)part) != 0)
            die("connection %ld: message %lld differs from what was sent", (long)(connection - connections), number);
        connection->position += part;
        data += part;
        length -= part;
        if (offset + part == frame_size) left[slot]--;
    }
}

static int by_value(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    static char buffer[1 << 18];
    struct epoll_event events[256];
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argc != 9) die("usage: client HOST PORT PATH CONNECTIONS OUTSTANDING BYTES WARM_UP MEASURED");
    count = atoi(argv[4]), outstanding = atoi(argv[5]), size = atoi(argv[6]);
    double warm_up = atof(argv[7]), seconds = atof(argv[8]), begin = 0;
    if (count < 1 || outstanding < 1 || size > 65535) die("connections, outstanding or bytes out of range");
    frame_size = size + (size < 126 ? 2 : 4);
    connections = calloc((size_t)count, sizeof *connections);
    frames = malloc((size_t)outstanding * frame_size);
    request = malloc((size_t)frame_size + 4);
    left = calloc((size_t)outstanding, sizeof *left);
    sent_at = calloc((size_t)outstanding, sizeof *sent_at);
    times = malloc(MAX_TIMES * sizeof *times);
    address.sin_port = htons((unsigned short)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) die("HOST must be an IPv4 address");
    int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = (unsigned)i};
        connections[i].fd = handshake(&address, argv[1], argv[3]);
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &wanted);
    }
    double start = now(), end = 0;
    for (int i = 0; i < outstanding; i++) send_next();
    while (done < sent) {
        int ready = epoll_wait(poll, events, 256, STALL_MS);
        if (ready == 0) die("stalled: message %lld is missing on %d connections", done, left[done % outstanding]);
        for (int i = 0; i < ready; i++) {
            Connection *connection = &connections[events[i].data.u32];
            ssize_t length = recv(connection->fd, buffer, sizeof buffer, 0);
            if (length == 0 || (length < 0 && errno != EAGAIN)) die("the server hung up");
            check(connection, buffer, length);
        }
        while (done < sent && left[done % outstanding] == 0) { /* in order: each connection gets them in order */
            double at = now();
            if (begin && !end && measured < MAX_TIMES) times[measured++] = at - sent_at[done % outstanding];
            done++;
            if (!begin && at - start >= warm_up) { begin = at; puts("measuring"); fflush(stdout); }
            if (begin && !end && at - begin >= seconds && measured > 0) { end = at; puts("measured"); fflush(stdout); }
            if (!end) send_next();
        }
    }
    qsort(times, (size_t)measured, sizeof *times, by_value);
    printf("{\"client\": \"c\", \"broadcasts\": %ld, \"deliveries\": %lld, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
           measured, (long long)measured * count, end - begin, times[measured / 2] * 1e3,
           times[measured * 99 / 100] * 1e3);
    return 0;
}
