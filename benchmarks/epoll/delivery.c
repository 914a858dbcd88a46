/* What a message is: a step of the prologue, a question, or a delivery, which must be the right one. */
#define _GNU_SOURCE
#include "client.h"
#include <stdio.h>
#include <string.h>

bool begins(const char *data, size_t length, const char *prefix) {
    return length >= strlen(prefix) && memcmp(data, prefix, strlen(prefix)) == 0;
}

/* The string member that the template names, as in `"$call_id"`, taken from the message. */
static void acknowledge(Connection *connection, const char *data, size_t length) {
    static Bytes answer;
    char name[32], key[40];
    const char *dollar = strchr(options.acknowledge, '$');
    if (!dollar) die("the acknowledgement has no $name: %s", options.acknowledge);
    snprintf(name, sizeof name, "%.*s", (int)strspn(dollar + 1, "abcdefghijklmnopqrstuvwxyz_"), dollar + 1);
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *value = memmem(data, length, key, strlen(key));
    if (!value) fail(connection, "nothing to acknowledge it by", data, length);
    value += strlen(key);
    const char *quote = memchr(value, '"', (size_t)(data + length - value));
    if (!quote) fail(connection, "nothing to acknowledge it by", data, length);
    expand(&answer, options.acknowledge, name, value, (size_t)(quote - value));
    send_frame(connection, 1, answer.data, answer.length);
}

void delivered(Connection *connection) {
    slot_of(connection->number)->left--;
    connection->number++;
}

static Slot *next_slot(const Connection *connection, const char *data, size_t length) {
    if (connection->number >= sent) fail(connection, "a message that nobody sent", data, length);
    return slot_of(connection->number);
}

/* What waited for the same connection, in a JSON array: one delivery after the other, and nothing else. */
static void check_joined(Connection *connection, const char *data, size_t length) {
    size_t at = 1;
    do {
        const Bytes *expected = &next_slot(connection, data, length)->message;
        if (length - at <= expected->length || memcmp(data + at, expected->data, expected->length) != 0)
            fail(connection, "not what was sent", data + at, length - at);
        at += expected->length;
        delivered(connection);
    } while (data[at++] == ',');
    if (data[at - 1] != ']' || at != length) fail(connection, "an array without its end", data, length);
}

/* Whether this was one delivery; anything that is neither that nor expected ends the run. */
static bool check(Connection *connection, const char *data, size_t length) {
    if (!connection->open) {
        const Prologue *prologue = prologue_of(connection);
        const Step *step = &prologue->steps[connection->step];
        if (connection->step >= prologue->count || !begins(data, length, step->text))
            fail(connection, "not what the prologue awaits", data, length);
        connection->step++;
        run_prologue(connection);
        return false;
    }
    if (options.asked && length == strlen(options.asked) && begins(data, length, options.asked)) {
        send_frame(connection, 1, options.reply, strlen(options.reply));
        return false;
    }
    if (options.ignored && begins(data, length, options.ignored)) return false;
    if (options.stream && !connection->streams) fail(connection, "who talks is told nothing", data, length);
    if (options.joined && begins(data, length, "[")) {
        check_joined(connection, data, length);
        return false;
    }
    Slot *slot = next_slot(connection, data, length);
    bool right = options.delivered
        ? length == slot->message.length && memcmp(data, slot->message.data, length) == 0
        : memmem(data, length, slot->payload.data, slot->payload.length) != NULL;
    if (!right) fail(connection, "not what was sent", data, length);
    if (options.acknowledge) acknowledge(connection, data, length);
    delivered(connection);
    return true;
}

void message(Connection *connection, const char *data, size_t length, bool compressed) {
    static Bytes text;
    if (!compressed) {
        check(connection, data, length);
        return;
    }
    Slot *slot = connection->open && connection->number < sent ? slot_of(connection->number) : NULL;
    bool comparable = slot && !connection->takeover && !options.acknowledge;  /* then equal bytes mean equal text */
    if (comparable && slot->deflated.length == length && memcmp(slot->deflated.data, data, length) == 0) {
        delivered(connection);
        return;
    }
    inflate_message(connection, data, length, &text);
    if (check(connection, text.data, text.length) && comparable) {
        slot->deflated.length = 0;
        append(&slot->deflated, data, length);
    }
}
