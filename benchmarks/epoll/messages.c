/* What is broadcast: JSON as a chat or a dashboard sends it, numbered, each message different, of an exact size. */
#define _GNU_SOURCE
#include "client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DASHBOARD_BYTES 400     /* from here on there are readings beside the text */
#define TEXT_BYTES 160          /* of which this much is left for the text */

static Slot *slots;
static int slot_count;

static const char *PEOPLE[] = {"ada", "grace", "alan", "edsger", "barbara", "donald", "margaret", "dennis"};
static const char *WORDS[] = {"the",    "meeting", "is",      "at",    "three", "and",   "we",    "should", "ship",
                              "before", "lunch",   "because", "tests", "pass",  "again", "on",    "every",  "server",
                              "that",   "I",       "tried",   "today", "so",    "who",   "wants", "to",     "review?"};
static const char *HOSTS[] = {"eu-west-1a", "eu-west-1b", "us-east-2a", "us-east-2c", "ap-south-1b", "sa-east-1a"};
static const char *STATES[] = {"ok", "ok", "ok", "warming", "degraded"};
#define PICK(list, seed) list[random_of(seed) % (sizeof(list) / sizeof *(list))]

static unsigned random_of(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void write_readings(Bytes *to, size_t size, unsigned *seed) {
    char text[160];
    const char *separator = "\"readings\":[";
    while (to->length + TEXT_BYTES < size) {
        int n = snprintf(text, sizeof text, "%s{\"host\":\"%s\",\"state\":\"%s\",\"cpu\":%u.%u,\"sessions\":%u}", separator,
                         PICK(HOSTS, seed), PICK(STATES, seed), random_of(seed) % 100, 1 + random_of(seed) % 9,
                         random_of(seed) % 5000);
        append(to, text, (size_t)n);
        separator = ",";
    }
    append(to, "],", 2);
}

static void write_payload(Bytes *to, long long number, size_t size) {
    char text[160];
    unsigned seed = (unsigned)number * 2654435761u + 1;
    int n = snprintf(text, sizeof text, "{\"type\":\"message\",\"id\":%lld,\"room\":\"general\",\"from\":\"%s\",\"at\":%lld,",
                     number, PICK(PEOPLE, &seed), 1764000000000LL + number * 37);
    to->length = 0;
    append(to, text, (size_t)n);
    if (size >= DASHBOARD_BYTES) write_readings(to, size, &seed);
    append(to, "\"text\":\"", 8);
    if (to->length + 2 > size) die("messages must have at least %zu bytes", to->length + 2);
    const char *word = PICK(WORDS, &seed);
    while (to->length + 2 < size) {
        append(to, *word ? word++ : " ", 1);
        if (to->data[to->length - 1] == ' ') word = PICK(WORDS, &seed);
    }
    append(to, "\"}", 2);
}

/* Puts `value` where the template says $name. */
void expand(Bytes *to, const char *template, const char *name, const char *value, size_t length) {
    to->length = 0;
    for (const char *dollar; (dollar = strchr(template, '$')) != NULL; template = dollar + 1 + strlen(name)) {
        if (strncmp(dollar + 1, name, strlen(name)) != 0) die("$%s is the only name here: %s", name, template);
        append(to, template, (size_t)(dollar - template));
        append(to, value, length);
    }
    append(to, template, strlen(template));
}

/* Only while nothing is on its way. */
void set_slots(int count) {
    if (count > slot_count) {
        slots = realloc(slots, (size_t)count * sizeof *slots);
        memset(slots + slot_count, 0, (size_t)(count - slot_count) * sizeof *slots);
    }
    slot_count = count;
}

Slot *slot_of(long long number) { return &slots[number % slot_count]; }

void fill_slot(Slot *slot, long long number, size_t size) {
    write_payload(&slot->payload, number, size);
    slot->deflated.length = slot->frame.length = slot->message.length = 0;
    if (options.delivered == NULL) return;
    expand(&slot->message, options.delivered, "payload", slot->payload.data, slot->payload.length);
    if (options.stream) put_event(&slot->frame, slot->message.data, slot->message.length);
    else put_frame(&slot->frame, 1, false, slot->message.data, slot->message.length);
}
