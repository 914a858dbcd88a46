/* RFC 6455 section 5: frames, out and in. */
#define _GNU_SOURCE
#include "client.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

void fail(const Connection *connection, const char *what, const char *got, size_t length) {
    char start[81];
    size_t n = length < sizeof start - 1 ? length : sizeof start - 1;
    for (size_t i = 0; i < n; i++) start[i] = isprint((unsigned char)got[i]) ? got[i] : '.';
    start[n] = 0;
    die("connection %ld, message %lld: %s (%zu bytes: %s)", (long)(connection - connections), connection->number, what,
        length, start);
}

/* A masking key of zeros leaves the payload as it is. */
void put_frame(Bytes *to, int opcode, bool masked, const char *data, size_t length) {
    char header[14] = {(char)(0x80 | opcode)};
    int n = 2;
    if (length < 126) {
        header[1] = (char)length;
    } else if (length < 65536) {
        header[1] = 126, header[2] = (char)(length >> 8), header[3] = (char)length, n = 4;
    } else {
        header[1] = 127;
        for (int i = 0; i < 8; i++) header[2 + i] = (char)((unsigned long long)length >> (56 - 8 * i));
        n = 10;
    }
    if (masked) header[1] = (char)(header[1] | 0x80), n += 4;
    append(to, header, (size_t)n);
    append(to, data, length);
}

void send_frame(Connection *connection, int opcode, const char *data, size_t length) {
    static Bytes frame;
    frame.length = 0;
    put_frame(&frame, opcode, true, data, length);
    send_all(connection->fd, frame.data, frame.length);
}

static void control(Connection *connection, int opcode, bool final, const char *data, size_t length) {
    if (!final || length > 125) fail(connection, "a control frame that is long or fragmented", data, length);
    if (opcode == PING) send_frame(connection, PONG, data, length);
    else if (opcode == CLOSE) fail(connection, "the server closed the connection", data, length);
    else if (opcode != PONG) fail(connection, "an unknown opcode", data, length);
}

static void frame(Connection *connection, int first, const char *data, size_t length) {
    int opcode = first & 0x0f;
    bool final = first & 0x80, compressed = first & 0x40;
    if (first & 0x30) fail(connection, "a reserved bit is set", data, length);
    if (opcode >= CLOSE) {
        if (compressed) fail(connection, "a compressed control frame", data, length);
        control(connection, opcode, final, data, length);
        return;
    }
    if (opcode == BINARY) fail(connection, "a binary message", data, length);
    if ((opcode == CONTINUATION) != connection->fragmented) fail(connection, "fragments in disorder", data, length);
    if (compressed && opcode == CONTINUATION) fail(connection, "RSV1 in a continuation", data, length);
    if (final && opcode == TEXT) {
        message(connection, data, length, compressed);
        return;
    }
    if (opcode == TEXT) connection->fragments.length = 0, connection->compressed = compressed;
    append(&connection->fragments, data, length);
    connection->fragmented = !final;
    if (final) message(connection, connection->fragments.data, connection->fragments.length, connection->compressed);
}

/* Handles the whole frames at the start; returns how many bytes they have. */
static size_t parse(Connection *connection, const char *data, size_t length) {
    size_t done = 0;
    while (length - done >= 2) {
        const unsigned char *head = (const unsigned char *)data + done;
        size_t header = 2, size = head[1];
        if (size & 0x80) fail(connection, "a masked frame", data + done, length - done);
        if (size >= 126) header = size == 126 ? 4 : 10;
        if (length - done < header) break;
        if (header > 2) size = 0;
        for (size_t i = 2; i < header; i++) size = size << 8 | head[i];
        if (length - done - header < size) break;
        frame(connection, head[0], data + done + header, size);
        done += header + size;
    }
    return done;
}

static void parse_or_keep(Connection *connection, const char *data, size_t length) {
    Bytes *pending = &connection->pending;
    if (pending->length == 0) {
        size_t done = parse(connection, data, length);
        append(pending, data + done, length - done);
        return;
    }
    append(pending, data, length);
    size_t done = parse(connection, pending->data, pending->length);
    memmove(pending->data, pending->data + done, pending->length - done);
    pending->length -= done;
}

/* Stops at the first frame, or event, that differs from the expected one; returns how many bytes do not. */
static size_t match(Connection *connection, const char *data, size_t length) {
    size_t done = 0;
    while (done < length && connection->number < sent) {
        const Bytes *expected = &slot_of(connection->number)->frame;
        size_t part = expected->length - connection->matched;
        if (part > length - done) part = length - done;
        if (part == 0 || memcmp(data + done, expected->data + connection->matched, part) != 0) break;
        connection->matched += part;
        done += part;
        if (connection->matched == expected->length) connection->matched = 0, delivered(connection);
    }
    return done;
}

/* The short way: whether the bytes are those of the expected frames, or events. If not, what is left must be parsed. */
bool take_expected(Connection *connection, const char **data, size_t *length) {
    size_t done = match(connection, *data, *length);
    if (done == *length) return true;
    if (connection->matched) {  /* it began alike: back to where this frame began */
        append(&connection->pending, slot_of(connection->number)->frame.data, connection->matched);
        connection->matched = 0;
    }
    *data += done, *length -= done;
    return false;
}

void receive(Connection *connection, const char *data, size_t length) {
    if (connection->streams) {
        receive_stream(connection, data, length);
        return;
    }
    bool between = connection->open && connection->pending.length == 0 && !connection->fragmented;
    if (between && take_expected(connection, &data, &length)) return;
    parse_or_keep(connection, data, length);
}
