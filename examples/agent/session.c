/* `-kvm1`: started by launchd inside a session while the daemon wants one; connects, and ends when the signal goes. */

#include "places.h"
#include "roles.h"
#include "wire.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WIDTH = 1280, HEIGHT = 800, TILE = 32, PAUSE = 50 };

static int connect_to(const struct sockaddr_un *address)
{
    int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connection >= 0 && connect(connection, (const struct sockaddr *)address, sizeof *address) == 0)
        return connection;
    close(connection);
    return -1;
}

/* One tile of a picture that moves: position in tiles is all that a stand-in has to show. */
static bool send_tile(int connection, unsigned int number)
{
    unsigned int across = WIDTH / TILE, down = HEIGHT / TILE;
    int x = (int)(number % across * TILE), y = (int)(number / across % down * TILE);
    return wire_send_words(connection, WIRE_PICTURE, x, y);
}

/* Until the connection or the signal goes. */
static void serve(int connection, const struct places *places)
{
    static struct wire wire;
    wire.used = 0;
    if (!wire_send_words(connection, WIRE_SCREEN, WIDTH, HEIGHT))
        return;
    for (unsigned int number = 0; access(places->signal, F_OK) == 0; number++) {
        struct pollfd ready = {.fd = connection, .events = POLLIN};
        int type;
        size_t length;
        if (poll(&ready, 1, PAUSE) > 0) {
            if (!wire_read(&wire, connection))
                return;
            for (; wire_first(&wire, &type, &length); wire_drop(&wire, length))
                if (type == WIRE_REFRESH && !wire_send_words(connection, WIRE_SCREEN, WIDTH, HEIGHT))
                    return;
        }
        if (!send_tile(connection, number))
            return;
    }
}

int run_session(const struct places *places)
{
    signal(SIGPIPE, SIG_IGN);
    while (access(places->signal, F_OK) == 0) {
        int connection = connect_to(&places->session);
        if (connection >= 0) {
            serve(connection, places);
            close(connection);
        }
        poll(NULL, 0, PAUSE); /* refused or lost: the daemon may be starting again */
    }
    return 0;
}
