#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* A receiver that takes nothing for so long is given up: it must not hold up the others. */
enum { PATIENCE = 1000 };

static int word(const unsigned char *at)
{
    return at[0] << 8 | at[1];
}

bool wire_read(struct wire *wire, int from)
{
    ssize_t got = recv(from, wire->data + wire->used, sizeof wire->data - wire->used, 0);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    wire->used += (size_t)got;
    if (wire->used < WIRE_HEADER)
        return got > 0;
    /* A length below the header's would be read for ever; one above the buffer could never arrive. */
    int length = word(wire->data + 2);
    return got > 0 && length >= WIRE_HEADER && length <= WIRE_LARGEST;
}

bool wire_first(const struct wire *wire, int *type, size_t *length)
{
    if (wire->used < WIRE_HEADER)
        return false;
    *type = word(wire->data);
    *length = (size_t)word(wire->data + 2);
    return *length >= WIRE_HEADER && *length <= wire->used;
}

void wire_drop(struct wire *wire, size_t length)
{
    wire->used -= length;
    memmove(wire->data, wire->data + length, wire->used);
}

bool wire_send(int to, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        struct pollfd ready = {.fd = to, .events = POLLOUT};
        int found = poll(&ready, 1, PATIENCE);
        if (found < 0 && errno == EINTR)
            continue;
        if (found <= 0)
            return false;
        ssize_t sent = send(to, at, length, MSG_DONTWAIT);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

bool wire_send_words(int to, int type, int first, int second)
{
    unsigned char data[] = {
        (unsigned char)(type >> 8),  (unsigned char)type,         0,
        WIRE_HEADER + 4,             (unsigned char)(first >> 8), (unsigned char)first,
        (unsigned char)(second >> 8), (unsigned char)second,
    };
    return wire_send(to, data, sizeof data);
}
