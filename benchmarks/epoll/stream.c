/* Event streams: the chunks of a response that does not end (RFC 9112 section 7.1), and the events in them (HTML). */
#include "client.h"
#include <stdlib.h>
#include <string.h>

void put_event(Bytes *to, const char *data, size_t length) {
    append(to, "data: ", 6);
    append(to, data, length);
    append(to, "\n\n", 2);
}

/* The whole event at the start; returns how many bytes it has, 0 where it is not whole yet. */
static size_t event(Connection *connection, const char *data, size_t length) {
    static Bytes text;
    bool said = false;
    size_t done = 0;
    text.length = 0;
    for (;;) {
        const char *line = data + done, *end = memchr(line, '\n', length - done);
        if (!end) return 0;
        size_t size = (size_t)(end - line);
        done += size + 1;
        if (size && line[size - 1] == '\r') size--;
        if (size == 0) break;
        if (begins(line, size, "data:")) {
            size_t skip = begins(line, size, "data: ") ? 6 : 5;
            if (said) append(&text, "\n", 1);
            append(&text, line + skip, size - skip);
            said = true;
        } else if (line[0] != ':' && !begins(line, size, "id:")) {
            fail(connection, "no line of an event stream that is sent here", line, size);
        }
    }
    if (said) message(connection, text.data, text.length, false);
    return done;
}

static void events(Connection *connection, const char *data, size_t length) {
    Bytes *pending = &connection->pending;
    if (connection->open && pending->length == 0 && take_expected(connection, &data, &length)) return;
    append(pending, data, length);
    size_t done = 0;
    for (size_t whole; (whole = event(connection, pending->data + done, pending->length - done)) > 0;) done += whole;
    memmove(pending->data, pending->data + done, pending->length - done);
    pending->length -= done;
}

/* One byte beside the data: of the line with the chunk's size, or of the line end behind the data. */
static void beside(Connection *connection, char byte) {
    char *line = connection->chunk_line;
    int *length = &connection->chunk_line_length;
    if (*length + 1 == (int)sizeof connection->chunk_line) fail(connection, "no chunk", line, (size_t)*length);
    line[(*length)++] = byte;
    if (byte != '\n') return;
    line[*length] = 0;
    size_t digits = connection->chunk_ends ? 0 : strspn(line, "0123456789abcdefABCDEF");
    if ((digits == 0) != connection->chunk_ends || strcmp(line + digits, "\r\n") != 0)
        fail(connection, "no chunk", line, (size_t)*length);
    if (digits) connection->chunk_left = strtoull(line, NULL, 16);
    if (digits && connection->chunk_left == 0) fail(connection, "the server ended the stream", "", 0);
    connection->chunk_ends = digits > 0;
    *length = 0;
}

void receive_stream(Connection *connection, const char *data, size_t length) {
    while (length > 0) {
        size_t part = connection->chunk_left < length ? connection->chunk_left : length;
        if (part) {
            events(connection, data, part);
            connection->chunk_left -= part;
        } else {
            beside(connection, *data);
            part = 1;
        }
        data += part, length -= part;
    }
}
