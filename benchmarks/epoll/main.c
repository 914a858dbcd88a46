/* The load: N connections, one of which talks, and every byte that comes back is checked.
 *
 * client [options] HOST PORT PATH opens the connections, prints a line of JSON, and then does what it reads, line by
 * line, with a line of JSON for each:
 *
 *     closed W BYTES WARM_UP SECONDS       W broadcasts are on their way at any time: message n + W is sent when all
 *                                          connections have message n
 *     paced RATE BYTES SECONDS PATIENCE    so many a second; "stopped" if for PATIENCE seconds none arrives
 *
 * Connection 0 sends text messages, numbered; the server must send each of them to all connections, in order. Pings
 * are answered at any time. With --stream the connections are event streams, and one WebSocket more sends, and gets
 * nothing. benchmarks/client.py does the same in Python, but for what it says there.
 */
#define _GNU_SOURCE
#include "client.h"
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_TIMES 4000000
#define MAX_ON_THEIR_WAY 8192   /* of paced messages */
#define MAX_PROCESSES 16

Options options = {.connections = 1000, .in_flight = 64, .publish = "$payload", .delivered = "$payload"};
Connection *connections;
long long sent;

static long long done;          /* broadcasts that all have */
static double *times;           /* seconds to the last of N, for each measured message */
static long measured;
static int poller;
static clockid_t clocks[MAX_PROCESSES];  /* CPU of the server's processes */
static int clock_count;

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double seconds_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) die("the server has ended");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double now(void) { return seconds_of(CLOCK_MONOTONIC); }

static double server_cpu(void) {
    double sum = 0;
    for (int i = 0; i < clock_count; i++) sum += seconds_of(clocks[i]);
    return sum;
}

void append(Bytes *bytes, const char *data, size_t length) {
    if (bytes->length + length > bytes->room) {
        bytes->room = 2 * (bytes->length + length);
        bytes->data = realloc(bytes->data, bytes->room);
        if (!bytes->data) die("out of memory");
    }
    if (length) memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
}

static void pump(int milliseconds) {
    static char buffer[1 << 18];
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, milliseconds);
    for (int i = 0; i < ready; i++) {
        Connection *connection = &connections[events[i].data.u32];
        ssize_t length = recv(connection->fd, buffer, sizeof buffer, 0);
        if (length == 0 || (length < 0 && errno != EAGAIN)) fail(connection, "the server hung up", "", 0);
        if (length < 0) continue;
        if (connection->upgraded) receive(connection, buffer, (size_t)length);
        else opening(connection, buffer, (size_t)length);
    }
}

int everyone(void) { return options.connections + (options.stream ? 1 : 0); }

static void open_connections(void) {
    connections = calloc((size_t)everyone(), sizeof *connections);
    double start = now(), cpu = server_cpu(), progress = start;
    for (int before = 0; opened < everyone();) {
        open_all(poller);
        pump(1000);
        if (opened > before) before = opened, progress = now();
        if (now() - progress > PATIENCE_SECONDS) die("only %d connections were accepted", opened);
    }
    printf("{\"connections\": %d, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"extensions\": \"%s\"}\n", everyone(),
           now() - start, server_cpu() - cpu, agreed_extensions());
}

static void send_next(size_t size) {
    static Bytes text;
    Slot *slot = slot_of(sent);
    fill_slot(slot, sent, size);
    slot->left = options.connections - options.stalled;
    expand(&text, options.publish, "payload", slot->payload.data, slot->payload.length);
    slot->sent_at = now();
    sent++;
    send_frame(&connections[options.stream ? options.connections : 0], 1, text.data, text.length);
}

/* Whether the oldest message has reached all: in order, as each connection gets them in order. */
static bool oldest_is_done(double at, bool measure) {
    if (done == sent || slot_of(done)->left > 0) return false;
    if (measure && measured < MAX_TIMES) times[measured++] = at - slot_of(done)->sent_at;
    done++;
    return true;
}

static int by_value(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static void report(double seconds, double cpu) {
    long long deliveries = (long long)measured * (options.connections - options.stalled);
    qsort(times, (size_t)measured, sizeof *times, by_value);
    printf("{\"client\": \"c\", \"broadcasts\": %ld, \"deliveries\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"most_ms\": %.4f", measured, deliveries, seconds, cpu,
           measured ? times[measured / 2] * 1e3 : -1, measured ? times[measured * 99 / 100] * 1e3 : -1,
           measured ? times[measured - 1] * 1e3 : -1);
}

static void closed_loop(int outstanding, size_t size, double warm_up, double seconds) {
    double start = now(), begin = 0, end = 0, cpu = 0, progress = start;
    long long first = sent;
    set_slots(outstanding);
    measured = 0;
    for (int i = 0; i < outstanding; i++) send_next(size);
    while (done < sent) {
        pump(1000);
        double at = now();
        while (oldest_is_done(at, begin && !end)) {
            progress = at;
            bool steady = done - first > outstanding; /* all that comes now was sent while as many were on their way */
            if (!begin && steady && at - start >= warm_up) begin = at, cpu = -server_cpu();
            bool whole = measured > 0 && measured % outstanding == 0; /* where all come at once, a part would mislead */
            if (begin && !end && whole && at - begin >= seconds) end = at, cpu += server_cpu();
            if (!end) send_next(size);
        }
        if (at - progress > PATIENCE_SECONDS)
            die("stalled: message %lld is missing on %d connections", done, slot_of(done)->left);
    }
    report(end - begin, cpu);
    puts("}");
}

static void paced(double rate, size_t size, double seconds, double patience) {
    double start = now(), progress = start, at = start, cpu = -server_cpu();
    long long first = sent;
    bool stopped = false;
    set_slots(MAX_ON_THEIR_WAY);
    measured = 0;
    while (at - start < seconds || (done < sent && !stopped)) {
        double due = start + (double)(sent - first) / rate;
        if (at - start < seconds && at >= due && sent - done < MAX_ON_THEIR_WAY) send_next(size);
        else pump(at - start < seconds && due > at ? (int)((due - at) * 1000) + 1 : 10);
        at = now();
        while (oldest_is_done(at, true)) progress = at;
        if (done == sent) progress = at;
        stopped = at - progress > patience;
        if (stopped) break;
    }
    report(at - start, cpu + server_cpu());
    printf(", \"sent\": %lld, \"stopped\": %s, \"stood_seconds\": %.3f}\n", sent - first, stopped ? "true" : "false",
           stopped ? at - slot_of(done)->sent_at : 0.0);
}

static void obey(const char *line) {
    double first, second, third;
    size_t size;
    if (sscanf(line, "closed %lf %zu %lf %lf", &first, &size, &second, &third) == 4)
        closed_loop((int)first, size, second, third);
    else if (sscanf(line, "paced %lf %zu %lf %lf", &first, &size, &second, &third) == 4)
        paced(first, size, second, third);
    else
        die("no such command: %s", line);
    fflush(stdout);
}

static void add_step(Prologue *prologue, bool awaits, const char *text) {
    if (prologue->count == MAX_STEPS) die("the prologue is too long");
    prologue->steps[prologue->count++] = (Step){awaits, text};
}

static void parse_options(int argc, char **argv) {
    enum { CONNECTIONS, STALLED, IN_FLIGHT, DEFLATE, SEND, AWAIT, ASKED, REPLY, PUBLISH, DELIVERED, CONTAINS, ACKNOWLEDGE,
           IGNORE, CPU_OF, JOINED, STREAM, GREETING };
    static const struct option known[] = {
        {"connections", 1, 0, CONNECTIONS}, {"stalled", 1, 0, STALLED}, {"in-flight", 1, 0, IN_FLIGHT},
        {"deflate", 0, 0, DEFLATE}, {"send", 1, 0, SEND}, {"await", 1, 0, AWAIT}, {"asked", 1, 0, ASKED},
        {"reply", 1, 0, REPLY}, {"publish", 1, 0, PUBLISH}, {"delivered", 1, 0, DELIVERED}, {"contains", 0, 0, CONTAINS},
        {"acknowledge", 1, 0, ACKNOWLEDGE}, {"ignore", 1, 0, IGNORE}, {"cpu-of", 1, 0, CPU_OF},
        {"joined", 0, 0, JOINED}, {"stream", 1, 0, STREAM}, {"greeting", 1, 0, GREETING}, {0}};
    for (int which; (which = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (which) {
        case CONNECTIONS: options.connections = atoi(optarg); break;
        case STALLED: options.stalled = atoi(optarg); break;
        case IN_FLIGHT: options.in_flight = atoi(optarg); break;
        case DEFLATE: options.deflate = true; break;
        case SEND: case AWAIT: add_step(&options.prologue, which == AWAIT, optarg); break;
        case GREETING: add_step(&options.greeting, true, optarg); break;
        case STREAM: options.stream = optarg; break;
        case JOINED: options.joined = true; break;
        case ASKED: options.asked = optarg; break;
        case REPLY: options.reply = optarg; break;
        case PUBLISH: options.publish = optarg; break;
        case DELIVERED: options.delivered = optarg; break;
        case CONTAINS: options.delivered = NULL; break;
        case ACKNOWLEDGE: options.acknowledge = optarg; break;
        case IGNORE: options.ignored = optarg; break;
        case CPU_OF:
            if (clock_count == MAX_PROCESSES || clock_getcpuclockid(atoi(optarg), &clocks[clock_count++]) != 0)
                die("no CPU clock for process %s", optarg);
            break;
        default: exit(2);
    }
    if (argc - optind != 3) die("usage: client [options] HOST PORT PATH");
    options.host = argv[optind], options.port = atoi(argv[optind + 1]), options.path = argv[optind + 2];
    if (!options.delivered && (options.stream || options.joined)) die("--contains has neither --stream nor --joined");
    if (options.stream && options.deflate) die("event streams are not compressed here");
    if (!options.asked != !options.reply) die("--asked and --reply go together");
    if (options.connections <= options.stalled) die("at least one connection must read");
    if (options.deflate && !can_inflate()) die("this client was built without zlib");
}

int main(int argc, char **argv) {
    static char line[256];
    struct rlimit files;
    parse_options(argc, argv);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    times = malloc(MAX_TIMES * sizeof *times);
    poller = epoll_create1(0);
    setvbuf(stdin, NULL, _IONBF, 0);
    open_connections();
    fflush(stdout);
    for (;;) {
        struct pollfd either[2] = {{.fd = 0, .events = POLLIN}, {.fd = poller, .events = POLLIN}};
        if (poll(either, 2, -1) < 0 && errno != EINTR) die("poll: %s", strerror(errno));
        if (either[1].revents) pump(0);
        if (!either[0].revents) continue;
        if (!fgets(line, sizeof line, stdin)) return 0;
        obey(line);
    }
}
