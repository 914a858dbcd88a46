/* Connections, up to the end of their prologue; some of them never read again after that. */
#define _GNU_SOURCE
#include "client.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STALLED_RECEIVE_BUFFER 2048
#define STALLED_SEGMENT 1460
#define ACCEPTED "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  /* for the key below, RFC 6455 section 1.3 */
#define UPGRADE                                                                                                        \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                                         \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPT_STREAM "Accept: text/event-stream\r\n"
#define OFFER "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

int opened;
static int poller;
static char extensions[256];

const char *agreed_extensions(void) { return extensions; }

void send_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n > 0) {
            data += n, length -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd wanted = {.fd = fd, .events = POLLOUT};
            if (poll(&wanted, 1, (int)(PATIENCE_SECONDS * 1000)) == 0) die("the server takes no more from its clients");
        } else if (errno != EINTR) {
            die("send: %s", strerror(errno));
        }
    }
}

/* So that the server's kernel takes 35 KB for a client that does not read, as over a network, and not the 2 MB of
 * loopback: segments as on Ethernet, and an address of which that kernel remembers no liking for large windows. */
static void limit_what_is_buffered(int fd) {
    int small = STALLED_RECEIVE_BUFFER, segment = STALLED_SEGMENT;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(0x7f000000u | (1u << 16) | ((unsigned)getpid() & 0xffff));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind: %s", strerror(errno));
}

static void open_one(Connection *connection) {
    char text[1024];
    int one = 1, index = (int)(connection - connections);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)options.port)};
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1) die("HOST must be an IPv4 address");
    int fd = connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket: %s", strerror(errno));
    if (connection->stalled) limit_what_is_buffered(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const char *path = connection->streams ? options.stream : options.path;
    const char *offer = connection->streams ? ACCEPT_STREAM : UPGRADE, *more = options.deflate ? OFFER : "";
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n%s%s\r\n", path, options.host, options.port,
                     offer, connection->streams ? "" : more);
    send_all(fd, text, (size_t)n);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = (unsigned)index};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted);
}

const Prologue *prologue_of(const Connection *connection) {
    return connection->streams ? &options.greeting : &options.prologue;
}

/* Sends what the prologue says, up to the next message that it awaits; at its end the connection is open. */
void run_prologue(Connection *connection) {
    const Prologue *prologue = prologue_of(connection);
    while (connection->step < prologue->count && !prologue->steps[connection->step].awaits) {
        const char *text = prologue->steps[connection->step++].text;
        send_frame(connection, 1, text, strlen(text));
    }
    if (connection->step < prologue->count) return;
    connection->open = true;
    opened++;
    if (connection->stalled) epoll_ctl(poller, EPOLL_CTL_DEL, connection->fd, NULL);
}

static void negotiated(Connection *connection, const char *response) {
    const char *header = strcasestr(response, "\r\nsec-websocket-extensions:");
    connection->window_bits = 15;
    if (!header) return;
    header += strlen("\r\nsec-websocket-extensions:");
    while (*header == ' ') header++;
    snprintf(extensions, sizeof extensions, "%.*s", (int)strcspn(header, "\r\n"), header);
    connection->takeover = !strstr(extensions, "server_no_context_takeover");
    const char *bits = strstr(extensions, "server_max_window_bits=");
    if (bits) connection->window_bits = atoi(bits + strlen("server_max_window_bits="));
}

static bool is_stream(const char *head) {
    return strncmp(head, "HTTP/1.1 200", 12) == 0 && strcasestr(head, "\r\ncontent-type: text/event-stream") &&
           strcasestr(head, "\r\ntransfer-encoding: chunked\r\n");
}

static bool is_upgrade(const char *head) { return strncmp(head, "HTTP/1.1 101", 12) == 0 && strstr(head, ACCEPTED); }

/* What comes before the end of the response's head, and what comes behind it. */
void opening(Connection *connection, const char *data, size_t length) {
    Bytes *response = &connection->response;
    append(response, data, length);
    append(response, "", 1);
    response->length--;
    char *end = strstr(response->data, "\r\n\r\n");
    if (!end) return;
    size_t head = (size_t)(end + 4 - response->data);
    end[2] = 0;
    if (!(connection->streams ? is_stream : is_upgrade)(response->data))
        fail(connection, "the handshake was refused", response->data, response->length);
    negotiated(connection, response->data);
    Bytes rest = *response;
    memset(response, 0, sizeof *response);
    connection->upgraded = true;
    run_prologue(connection);
    if (rest.length > head) receive(connection, rest.data + head, rest.length - head);
    free(rest.data);
}

/* Begins handshakes, so that no more than `in_flight` are under way. */
void open_all(int poll) {
    static int begun;
    poller = poll;
    while (begun < everyone() && begun - opened < options.in_flight) {
        Connection *connection = &connections[begun];
        connection->streams = options.stream && begun < options.connections;
        int apart = options.stalled ? options.connections / options.stalled : 0;
        connection->stalled = apart && begun % apart == apart / 2 && begun / apart < options.stalled;
        begun++;
        open_one(connection);
    }
}
