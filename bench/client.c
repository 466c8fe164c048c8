/* The load of the benchmark: an LMTP client on epoll, one thread, any number of connections.
 *
 * Usage: client --port P --message FILE [options]; see usage() for all of them.
 *
 * It sends one message file again and again to the mailboxes u000, u001, ... round-robin. MAIL, all
 * RCPT and DATA leave in one write, the message after the 354, and then it waits for one final reply
 * for each recipient (RFC 2033 4.2). A reply that is not the expected one ends the whole run with
 * exit status 1: a rate in which refusals are counted says nothing. With --probe it asks whether
 * recipients exist, as Postfix does: RSET stands for DATA, and a RCPT that is accepted counts as a
 * recipient; none is acknowledged in "acknowledged", for nothing may be in the files.
 *
 * It says on stdout, a line each:
 *   idle-open N       the idle connections stand; a line on stdin lets it go on
 *   begin SECONDS     the warm-up is over (wall clock); what is measured begins
 *   at SECONDS N      N recipients acknowledged so far since then
 *   end SECONDS       what is measured is over; transactions that run are brought to their end
 *   result {...}      JSON. "acknowledged" holds all final 250s by mailbox, those of the warm-up and
 *                     of the end too, to be checked against the files; all else is of the time
 *                     between begin and end.
 *
 * The latency of a message is the time from the first octet of MAIL to its last final reply.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef WITHOUT_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define NANO 1000000000LL
#define EVENTS 256
#define REPLY_BUFFER 16384
#define PROGRESS_NS (NANO / 4)
/* Longer than any server may take for one message; a run that is not done by then has hung. */
#define PATIENCE_NS (30 * NANO)

enum state { GREETING, HELLO, STARTTLS, HANDSHAKE, HELLO_TLS, ENVELOPE, BODY, QUIT, HELD, CLOSED };

struct connection {
    int fd;
    enum state state;
    bool is_idle, wants_write;
    const char *out; /* what is still to be sent */
    size_t out_left;
    char *commands; /* MAIL, RCPT and DATA of the present message */
    int first_mailbox, replies;
    int64_t started;
    size_t in_length;
    char in[REPLY_BUFFER];
#ifndef WITHOUT_TLS
    SSL *ssl;
#endif
};

static struct {
    const char *message_path, *domain;
    int port, connections, idle, recipients, mailboxes;
    double warmup, seconds;
    bool is_new_each, is_tls, is_probe;
    int64_t limit;
} options = {.domain = "bench.test", .connections = 1, .recipients = 1, .mailboxes = 100,
             .warmup = 0.5, .seconds = 3, .limit = INT64_MAX};

static struct {
    int epoll, open_count, held_count, next_mailbox;
    bool is_measuring, is_over;
    char *message;
    size_t message_length;
    int64_t begun_at, ended_at, messages_begun;
    int64_t messages, recipients;
    double begin_cpu, end_cpu;
    int64_t *acknowledged;
    int64_t *latencies;
    size_t latencies_size;
#ifndef WITHOUT_TLS
    SSL_CTX *context;
#endif
} run;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("client: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *must(void *memory) {
    if (memory == NULL) fail("out of memory");
    return memory;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NANO + time.tv_nsec;
}

static double wall_clock(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / NANO;
}

static double own_cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* ---- Octets in and out, in clear or under TLS. -1 with EAGAIN when they would block. */

#ifndef WITHOUT_TLS
static ssize_t tls_outcome(struct connection *c, int outcome, const char *what) {
    if (outcome > 0) return outcome;
    switch (SSL_get_error(c->ssl, outcome)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        /* A server may hang up after its 221 without TLS's own good-bye. */
        if (c->state == QUIT) return 0;
        fail("TLS %s: %s", what, ERR_error_string(ERR_get_error(), NULL));
        return 0;
    }
}
#endif

static ssize_t read_some(struct connection *c, void *into, size_t size) {
#ifndef WITHOUT_TLS
    if (c->ssl) {
        ERR_clear_error();
        return tls_outcome(c, SSL_read(c->ssl, into, (int)size), "read");
    }
#endif
    return recv(c->fd, into, size, 0);
}

static ssize_t write_some(struct connection *c, const void *from, size_t size) {
#ifndef WITHOUT_TLS
    if (c->ssl) {
        ERR_clear_error();
        return tls_outcome(c, SSL_write(c->ssl, from, size > 1 << 20 ? 1 << 20 : (int)size), "write");
    }
#endif
    return send(c->fd, from, size, MSG_NOSIGNAL);
}

static void watch(struct connection *c, bool wants_write) {
    if (c->wants_write == wants_write) return;
    c->wants_write = wants_write;
    struct epoll_event event = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(run.epoll, EPOLL_CTL_MOD, c->fd, &event) < 0) fail("epoll: %m");
}

static void flush(struct connection *c) {
    while (c->out_left > 0) {
        ssize_t sent = write_some(c, c->out, c->out_left);
        if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) break;
        if (sent <= 0) fail("the server hung up while we wrote: %m");
        c->out += sent;
        c->out_left -= (size_t)sent;
    }
    watch(c, c->out_left > 0);
}

static void send_octets(struct connection *c, const char *octets, size_t length) {
    c->out = octets;
    c->out_left = length;
    flush(c);
}

static void send_line(struct connection *c, const char *line) {
    send_octets(c, line, strlen(line));
}

/* ---- One connection. */

static void hang_up(struct connection *c) {
#ifndef WITHOUT_TLS
    if (c->ssl) {
        if (c->state != HANDSHAKE) SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
        ERR_clear_error();
    }
#endif
    close(c->fd);
    c->state = CLOSED;
    run.open_count--;
}

static void call(struct connection *c) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket: %m");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        fail("connect: %m");
    c->state = GREETING;
    c->in_length = 0;
    c->out_left = 0;
    c->wants_write = false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) fail("epoll: %m");
    run.open_count++;
}

static void quit(struct connection *c) {
    c->state = QUIT;
    send_line(c, "QUIT\r\n");
}

static void begin_message(struct connection *c) {
    char *end = c->commands;
    if (run.is_over || run.messages_begun >= options.limit) {
        quit(c);
        return;
    }
    run.messages_begun++;
    c->first_mailbox = run.next_mailbox;
    run.next_mailbox = (run.next_mailbox + options.recipients) % options.mailboxes;
    end += sprintf(end, "MAIL FROM:<sender@%s>\r\n", options.domain);
    for (int i = 0; i < options.recipients; i++)
        end += sprintf(end, "RCPT TO:<u%03d@%s>\r\n", (c->first_mailbox + i) % options.mailboxes,
                       options.domain);
    end += sprintf(end, options.is_probe ? "RSET\r\n" : "DATA\r\n");
    c->state = ENVELOPE;
    c->replies = 0;
    c->started = now();
    send_octets(c, c->commands, (size_t)(end - c->commands));
}

static void record(struct connection *c) {
    if (!run.is_measuring) return;
    if ((size_t)run.messages == run.latencies_size) {
        run.latencies_size = run.latencies_size ? 2 * run.latencies_size : 4096;
        run.latencies = must(realloc(run.latencies, run.latencies_size * sizeof *run.latencies));
    }
    run.latencies[run.messages++] = now() - c->started;
}

static void after_hello(struct connection *c) {
    if (!c->is_idle) {
        begin_message(c);
        return;
    }
    c->state = HELD;
    run.held_count++;
}

static void shake_hands(struct connection *c) {
#ifdef WITHOUT_TLS
    (void)c;
    fail("this client was built without TLS: libssl-dev is missing");
#else
    ERR_clear_error();
    int outcome = SSL_connect(c->ssl);
    if (outcome != 1) {
        int error = SSL_get_error(c->ssl, outcome);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            fail("TLS handshake: %s", ERR_error_string(ERR_get_error(), NULL));
        watch(c, error == SSL_ERROR_WANT_WRITE);
        return;
    }
    c->state = HELLO_TLS;
    send_line(c, "LHLO client.bench.test\r\n");
#endif
}

static void start_tls(struct connection *c) {
#ifndef WITHOUT_TLS
    c->ssl = must(SSL_new(run.context));
    SSL_set_fd(c->ssl, c->fd);
#endif
    c->state = HANDSHAKE;
    c->in_length = 0;
    shake_hands(c);
}

static void after_transaction(struct connection *c) {
    record(c);
    if (options.is_new_each) quit(c);
    else begin_message(c);
}

static void on_envelope_reply(struct connection *c, int code, const char *line) {
    bool is_last = c->replies == options.recipients + 1;
    if (code != (is_last && !options.is_probe ? 354 : 250))
        fail("%s: %s", is_last ? "DATA or RSET" : "MAIL or RCPT", line);
    c->replies++;
    if (!is_last) return;
    if (options.is_probe) {
        if (run.is_measuring) run.recipients += options.recipients;
        after_transaction(c);
        return;
    }
    c->state = BODY;
    c->replies = 0;
    send_octets(c, run.message, run.message_length);
}

static void on_final_reply(struct connection *c, int code, const char *line) {
    if (code != 250) fail("final reply: %s", line);
    run.acknowledged[(c->first_mailbox + c->replies) % options.mailboxes]++;
    if (run.is_measuring) run.recipients++;
    if (++c->replies < options.recipients) return;
    after_transaction(c);
}

static void on_reply(struct connection *c, int code, const char *line) {
    switch (c->state) {
    case GREETING:
        if (code != 220) fail("greeting: %s", line);
        c->state = HELLO;
        send_line(c, "LHLO client.bench.test\r\n");
        break;
    case HELLO:
        if (code != 250) fail("LHLO: %s", line);
        if (!options.is_tls) {
            after_hello(c);
            break;
        }
        c->state = STARTTLS;
        send_line(c, "STARTTLS\r\n");
        break;
    case STARTTLS:
        if (code != 220) fail("STARTTLS: %s", line);
        start_tls(c);
        break;
    case HELLO_TLS:
        if (code != 250) fail("LHLO under TLS: %s", line);
        after_hello(c);
        break;
    case ENVELOPE:
        on_envelope_reply(c, code, line);
        break;
    case BODY:
        on_final_reply(c, code, line);
        break;
    case QUIT:
        hang_up(c);
        if (options.is_new_each && !run.is_over && run.messages_begun < options.limit) call(c);
        break;
    default:
        fail("a reply that nobody asked for: %s", line);
    }
}

/* Take whole lines off the input; the last line of a reply has no hyphen after its code. */
static void take_replies(struct connection *c) {
    char *line = c->in, *end;
    while ((end = memchr(line, '\n', (size_t)(c->in + c->in_length - line)))) {
        enum state before = c->state;
        *end = '\0';
        bool is_last = end - line >= 4 && line[3] != '-';
        char *next = end + 1;
        if (is_last) on_reply(c, atoi(line), line);
        /* A new connection or TLS begins with an empty buffer: nothing here is left to read. */
        if (is_last && (before == STARTTLS || before == QUIT)) return;
        line = next;
    }
    c->in_length -= (size_t)(line - c->in);
    memmove(c->in, line, c->in_length);
}

static void on_readable(struct connection *c) {
    for (;;) {
        if (c->in_length == REPLY_BUFFER) fail("a reply line without an end");
        int fd = c->fd;
        enum state before = c->state;
        ssize_t got = read_some(c, c->in + c->in_length, REPLY_BUFFER - c->in_length);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            if (c->state != QUIT) fail("the server hung up in state %d: %m", c->state);
            on_reply(c, 221, "");
            return;
        }
        c->in_length += (size_t)got;
        take_replies(c);
        if (c->state == CLOSED || c->state == HANDSHAKE || c->fd != fd || before == QUIT) return;
#ifndef WITHOUT_TLS
        /* OpenSSL keeps what it has decrypted to itself: read until it has nothing more. */
        if (c->ssl) continue;
#endif
        return;
    }
}

static void on_event(struct connection *c, uint32_t events) {
    if (c->state == CLOSED) return;
    if (c->state == HANDSHAKE) {
        shake_hands(c);
        return;
    }
    if (events & EPOLLOUT) flush(c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
}

static void turn(int64_t until) {
    struct epoll_event events[EVENTS];
    int64_t left = until - now();
    int count = epoll_wait(run.epoll, events, EVENTS, left > 0 ? (int)(left / 1000000 + 1) : 0);
    if (count < 0 && errno != EINTR) fail("epoll: %m");
    for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
}

/* ---- The run. */

static void hold_idle(struct connection *idle) {
    int64_t deadline = now() + PATIENCE_NS;
    for (int i = 0; i < options.idle; i++) {
        idle[i].is_idle = true;
        call(&idle[i]);
        /* A few at a time: a full accept queue would cost a retransmission, a second each. */
        while (i + 1 - run.held_count >= 32) {
            if (now() > deadline) fail("the idle connections did not come up");
            turn(now() + NANO / 100);
        }
    }
    while (run.held_count < options.idle) {
        if (now() > deadline) fail("%d of %d idle connections", run.held_count, options.idle);
        turn(now() + NANO / 100);
    }
    say("idle-open %d", run.held_count);
    if (getchar() == EOF) exit(0);
}

static bool is_exhausted(void) {
    return run.open_count == options.idle;
}

static void warm_up(void) {
    int64_t until = now() + (int64_t)(options.warmup * NANO);
    while (now() < until && !is_exhausted()) turn(until);
}

static void measure(void) {
    run.is_measuring = true;
    run.begin_cpu = own_cpu();
    run.begun_at = now();
    say("begin %.6f", wall_clock());
    int64_t until = run.begun_at + (int64_t)(options.seconds * NANO);
    int64_t tick = run.begun_at + PROGRESS_NS;
    while (now() < until && !is_exhausted()) {
        turn(tick < until ? tick : until);
        if (now() < tick) continue;
        say("at %.3f %ld", (double)(now() - run.begun_at) / NANO, (long)run.recipients);
        tick += PROGRESS_NS;
    }
    run.is_measuring = false;
    run.is_over = true;
    run.ended_at = now();
    run.end_cpu = own_cpu();
    say("end %.6f", wall_clock());
}

static void bring_to_end(void) {
    int64_t deadline = now() + PATIENCE_NS;
    while (!is_exhausted()) {
        if (now() > deadline) fail("%d connections did not end", run.open_count - options.idle);
        turn(now() + NANO / 10);
    }
}

static int compare(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(double share) {
    if (run.messages == 0) return 0;
    return (double)run.latencies[(size_t)(share * (double)(run.messages - 1))] / 1e6;
}

static void tell(void) {
    double elapsed = (double)(run.ended_at - run.begun_at) / NANO;
    if (run.messages) qsort(run.latencies, (size_t)run.messages, sizeof(int64_t), compare);
    printf("result {\"seconds\": %.6f, \"messages\": %ld, \"deliveries\": %ld, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"client_cpu_s\": %.6f, "
           "\"acknowledged\": [",
           elapsed, (long)run.messages, (long)run.recipients, percentile_ms(0.5),
           percentile_ms(0.99), percentile_ms(1), run.end_cpu - run.begin_cpu);
    for (int i = 0; i < options.mailboxes; i++)
        printf("%s%ld", i ? ", " : "", (long)run.acknowledged[i]);
    say("]}");
}

static void load_message(void) {
    struct stat status;
    int fd = open(options.message_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) fail("%s: %m", options.message_path);
    run.message = must(malloc((size_t)status.st_size + 3));
    for (size_t had = 0; had < (size_t)status.st_size;) {
        ssize_t got = read(fd, run.message + had, (size_t)status.st_size - had);
        if (got <= 0) fail("%s: %m", options.message_path);
        had += (size_t)got;
    }
    close(fd);
    memcpy(run.message + status.st_size, ".\r\n", 3);
    run.message_length = (size_t)status.st_size + 3;
}

static void prepare(void) {
    load_message();
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.acknowledged = must(calloc((size_t)options.mailboxes, sizeof *run.acknowledged));
#ifndef WITHOUT_TLS
    run.context = must(SSL_CTX_new(TLS_client_method()));
    /* No verification, which costs the client and shows nothing of the server, and no session is
     * used twice: each handshake is a full one. */
    SSL_CTX_set_verify(run.context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(run.context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(run.context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#endif
}

static void usage(void) {
    fputs("usage: client --port P --message FILE [--connections N] [--recipients N]\n"
          "              [--mailboxes N] [--domain D] [--warmup S] [--seconds S] [--limit N]\n"
          "              [--idle N] [--new-each] [--tls] [--probe]\n", stderr);
    exit(64);
}

static void read_options(int count, char **words) {
    static const struct option known[] = {
        {"port", 1, NULL, 'p'},       {"message", 1, NULL, 'm'},  {"connections", 1, NULL, 'c'},
        {"recipients", 1, NULL, 'r'}, {"mailboxes", 1, NULL, 'b'}, {"domain", 1, NULL, 'd'},
        {"warmup", 1, NULL, 'w'},     {"seconds", 1, NULL, 's'},  {"limit", 1, NULL, 'l'},
        {"idle", 1, NULL, 'i'},       {"new-each", 0, NULL, 'n'}, {"tls", 0, NULL, 't'},
        {"probe", 0, NULL, 'P'},
        {NULL, 0, NULL, 0}};
    int letter;
    while ((letter = getopt_long(count, words, "", known, NULL)) != -1) {
        switch (letter) {
        case 'p': options.port = atoi(optarg); break;
        case 'm': options.message_path = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 'r': options.recipients = atoi(optarg); break;
        case 'b': options.mailboxes = atoi(optarg); break;
        case 'd': options.domain = optarg; break;
        case 'w': options.warmup = atof(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'l': options.limit = atoll(optarg); break;
        case 'i': options.idle = atoi(optarg); break;
        case 'n': options.is_new_each = true; break;
        case 't': options.is_tls = true; break;
        case 'P': options.is_probe = true; break;
        default: usage();
        }
    }
    if (!options.port || !options.message_path || options.connections < 1 ||
        options.recipients < 1 || options.recipients > options.mailboxes)
        usage();
}

int main(int count, char **words) {
    read_options(count, words);
    prepare();
    size_t total = (size_t)(options.connections + options.idle);
    struct connection *all = must(calloc(total, sizeof *all));
    size_t line = strlen(options.domain) + 64;
    if (options.idle) hold_idle(all + options.connections);
    for (int i = 0; i < options.connections; i++) {
        all[i].commands = must(malloc(line * (size_t)(options.recipients + 2)));
        call(&all[i]);
    }
    warm_up();
    measure();
    bring_to_end();
    for (size_t i = (size_t)options.connections; i < total; i++) hang_up(&all[i]);
    tell();
    return 0;
}
