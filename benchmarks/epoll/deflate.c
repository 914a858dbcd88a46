/* RFC 7692: what the server compressed. Without zlib nothing is offered, so nothing comes. */
#include "client.h"
#include <stdlib.h>
#ifdef WITH_ZLIB
#include <zlib.h>

bool can_inflate(void) { return true; }

/* One for each connection whose server keeps its context; one for all others. */
static z_stream *inflater(Connection *connection) {
    static z_stream *shared;
    z_stream **stream = connection->takeover ? (z_stream **)&connection->inflater : &shared;
    if (*stream == NULL) {
        *stream = calloc(1, sizeof **stream);
        int bits = connection->takeover ? connection->window_bits : 15;
        if (*stream == NULL || inflateInit2(*stream, -bits) != Z_OK) die("inflateInit2 failed");
    } else if (!connection->takeover) {
        inflateReset(*stream);
    }
    return *stream;
}

static void feed(Connection *connection, z_stream *stream, const char *data, size_t length, Bytes *to) {
    char out[4096];
    stream->next_in = (Bytef *)data;
    stream->avail_in = (uInt)length;
    do {
        stream->next_out = (Bytef *)out;
        stream->avail_out = sizeof out;
        int status = inflate(stream, Z_SYNC_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
            fail(connection, "it does not inflate", data, length);
        append(to, out, sizeof out - stream->avail_out);
    } while (stream->avail_in > 0 || stream->avail_out == 0);
}

void inflate_message(Connection *connection, const char *data, size_t length, Bytes *to) {
    z_stream *stream = inflater(connection);
    to->length = 0;
    feed(connection, stream, data, length, to);
    feed(connection, stream, "\x00\x00\xff\xff", 4, to);
}

#else

bool can_inflate(void) { return false; }

void inflate_message(Connection *connection, const char *data, size_t length, Bytes *to) {
    (void)to;
    fail(connection, "a compressed message, which nobody offered to take", data, length);
}

#endif
