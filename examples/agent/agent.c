/* The stand-in agent: what this checkout releases when nothing else is configured. A daemon and a session's process
   that find each other as MeshAgent's do on a Mac; what they carry is made up. */

#include "places.h"
#include "roles.h"
#include "service.h"

#include <stdio.h>
#include <string.h>

#ifndef AGENT_VERSION
#error "AGENT_VERSION is the release's version; the Makefile passes it"
#endif

static const char usage[] =
    "usage: meshagent [--serviceId=ID] [--root=DIR] [-kvm1 | --paths]\n"
    "       meshagent --version | --help\n"
    "\n"
    "  without a word    be the daemon, as launchd starts it\n"
    "  -kvm1             be the process in a user's session, as launchd starts it\n"
    "  --paths           print the service id and the places that follow from it\n"
    "  --serviceId=ID    the id to use; without it, this executable's name makes one\n"
    "  --root=DIR        put socket and signal below DIR instead of /\n"
    "  --version         print the release's version\n"
    "  --help            print this\n";

static int print_paths(const char *id)
{
    printf("id       %s\n", id);
    printf("daemon   /Library/LaunchDaemons/%s.plist\n", id);
    printf("agent    /Library/LaunchAgents/%s-agent.plist\n", id);
    printf("socket   /tmp/%s.sock\n", id);
    printf("session  /var/run/%s/session-active\n", id);
    return 0;
}

static const char *value_of(const char *word, const char *option)
{
    size_t length = strlen(option);
    return strncmp(word, option, length) == 0 ? word + length : NULL;
}

/* The id that was given, or the one that the executable's name makes; NULL, and said why, if it cannot be used. */
static const char *chosen_id(const char *given, const char *program)
{
    static char made[SERVICE_ID_LONGEST + 1];
    if (!given) {
        const char *slash = strrchr(program, '/');
        const char *name = slash ? slash + 1 : program;
        if (!service_id_from_name(name, made, sizeof made)) {
            fprintf(stderr, "meshagent: the executable's name '%s' makes no service id; give --serviceId=ID\n", name);
            return NULL;
        }
        given = made;
    }
    const char *problem = service_id_problem(given);
    if (problem) {
        fprintf(stderr, "meshagent: the service id '%s' %s\n", given, problem);
        return NULL;
    }
    return given;
}

int main(int argc, char **argv)
{
    const char *given = NULL, *root = "", *value;
    bool paths = false, session = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            puts(AGENT_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--paths") == 0) {
            paths = true;
        } else if (strcmp(argv[i], "-kvm1") == 0) {
            session = true;
        } else if ((value = value_of(argv[i], "--serviceId="))) {
            given = value;
        } else if ((value = value_of(argv[i], "--root="))) {
            root = value;
        } else {
            fprintf(stderr, "meshagent: unknown argument '%s'\n%s", argv[i], usage);
            return 2;
        }
    }
    const char *id = chosen_id(given, argc > 0 ? argv[0] : "");
    if (!id)
        return 2;
    if (paths)
        return print_paths(id);
    struct places places;
    if (!places_of(&places, root, id)) {
        fprintf(stderr, "meshagent: below '%s' the path of a socket is too long\n", root);
        return 2;
    }
    return session ? run_session(&places) : run_daemon(&places);
}
