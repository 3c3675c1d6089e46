/* The daemon: listens, and never starts a session's process itself, which could not reach the session from here. */

#include "places.h"
#include "peer.h"
#include "roles.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VIEWERS = 16, SESSION_LISTENER = 0, VIEWER_LISTENER, SESSION, FIRST_VIEWER, ALL = FIRST_VIEWER + VIEWERS };

struct daemon {
    const struct places *places;
    struct pollfd at[ALL];
    struct wire session, viewer[VIEWERS];
    bool knows_screen;
    unsigned char screen[WIRE_HEADER + 4];
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static int listen_at(const struct sockaddr_un *address, mode_t mode)
{
    unlink(address->sun_path); /* of a daemon that was killed */
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)address, sizeof *address) != 0 ||
        chmod(address->sun_path, mode) != 0 || listen(listener, VIEWERS) != 0) {
        perror(address->sun_path);
        return -1;
    }
    return listener;
}

static void close_at(struct daemon *self, int place)
{
    close(self->at[place].fd);
    self->at[place].fd = -1;
    if (place == SESSION)
        self->knows_screen = false;
}

static void drop_viewer(struct daemon *self, int place)
{
    close_at(self, place);
    for (int other = FIRST_VIEWER; other < ALL; other++)
        if (self->at[other].fd >= 0)
            return;
    unlink(self->places->signal); /* nobody looks any more: the session's process ends */
}

static void take_session(struct daemon *self)
{
    int connection = accept(self->at[SESSION_LISTENER].fd, NULL, NULL);
    if (connection < 0)
        return;
    if (!peer_is_same_code(connection)) {
        fputs("meshagent: refused a connection from other code\n", stderr);
        close(connection);
        return;
    }
    if (self->at[SESSION].fd >= 0)
        close_at(self, SESSION); /* another session is in front now */
    self->at[SESSION].fd = connection;
    self->session.used = 0;
}

static void take_viewer(struct daemon *self)
{
    int connection = accept(self->at[VIEWER_LISTENER].fd, NULL, NULL);
    int place = FIRST_VIEWER;
    while (place < ALL && self->at[place].fd >= 0)
        place++;
    if (connection < 0 || place == ALL) {
        close(connection);
        return;
    }
    self->at[place].fd = connection;
    self->viewer[place - FIRST_VIEWER].used = 0;
    /* The size comes before anything else, at once: a tile on a canvas of another size would be lost. */
    if (self->knows_screen && !wire_send(connection, self->screen, sizeof self->screen)) {
        drop_viewer(self, place);
        return;
    }
    close(open(self->places->signal, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (self->at[SESSION].fd >= 0)
        wire_send_words(self->at[SESSION].fd, WIRE_REFRESH, 0, 0);
}

static void from_session(struct daemon *self)
{
    int type;
    size_t length;
    if (!wire_read(&self->session, self->at[SESSION].fd)) {
        close_at(self, SESSION);
        return;
    }
    for (; wire_first(&self->session, &type, &length); wire_drop(&self->session, length)) {
        if (type == WIRE_SCREEN && length == sizeof self->screen) {
            for (size_t i = 0; i < length; i++)
                self->screen[i] = self->session.data[i];
            self->knows_screen = true;
        }
        for (int place = FIRST_VIEWER; place < ALL; place++)
            if (self->knows_screen && self->at[place].fd >= 0 &&
                !wire_send(self->at[place].fd, self->session.data, length))
                drop_viewer(self, place);
    }
}

static void from_viewer(struct daemon *self, int place)
{
    struct wire *wire = &self->viewer[place - FIRST_VIEWER];
    int type;
    size_t length;
    if (!wire_read(wire, self->at[place].fd)) {
        drop_viewer(self, place);
        return;
    }
    for (; wire_first(wire, &type, &length); wire_drop(wire, length))
        if (self->at[SESSION].fd >= 0 && !wire_send(self->at[SESSION].fd, wire->data, length))
            close_at(self, SESSION);
}

int run_daemon(const struct places *places)
{
    static struct daemon self;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    self.places = places;
    for (int place = 0; place < ALL; place++)
        self.at[place] = (struct pollfd){.fd = -1, .events = POLLIN};
    if (mkdir(places->queue, 0755) != 0 && errno != EEXIST) {
        perror(places->queue);
        return 1;
    }
    unlink(places->signal); /* stale; the folder stays, because launchd watches it */
    self.at[SESSION_LISTENER].fd = listen_at(&places->session, 0777);
    self.at[VIEWER_LISTENER].fd = listen_at(&places->viewers, 0600);
    if (self.at[SESSION_LISTENER].fd < 0 || self.at[VIEWER_LISTENER].fd < 0)
        return 1;
    while (!stopped) {
        if (poll(self.at, ALL, -1) < 0)
            continue;
        if (self.at[SESSION].revents)
            from_session(&self);
        for (int place = FIRST_VIEWER; place < ALL; place++)
            if (self.at[place].fd >= 0 && self.at[place].revents)
                from_viewer(&self, place);
        if (self.at[SESSION_LISTENER].revents)
            take_session(&self);
        if (self.at[VIEWER_LISTENER].revents)
            take_viewer(&self);
    }
    unlink(places->signal);
    unlink(places->session.sun_path);
    unlink(places->viewers.sun_path);
    return 0;
}
