/* Messages between a session's process, the daemon and viewers: two bytes of type and two of length (the header's four
   included), big-endian, then the body. Types and numbers are MeshAgent's. */

#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>

enum { WIRE_PICTURE = 3, WIRE_REFRESH = 6, WIRE_SCREEN = 7 };
enum { WIRE_HEADER = 4, WIRE_LARGEST = 4096 };

struct wire {
    unsigned char data[WIRE_LARGEST];
    size_t used;
};

/* Read what is there. False when the other end is gone, or sends what no message is. */
bool wire_read(struct wire *wire, int from);

/* The first whole message's type and length, or false; wire_drop removes it. */
bool wire_first(const struct wire *wire, int *type, size_t *length);
void wire_drop(struct wire *wire, size_t length);

/* Send all of a message. False when the other end is gone or does not keep up. */
bool wire_send(int to, const void *data, size_t length);
bool wire_send_words(int to, int type, int first, int second);

#endif
