/* The stand-in agent: what this checkout releases when nothing else is configured.
   It answers who it is and where its service would live; it does not serve yet. */

#include "service.h"

#include <stdio.h>
#include <string.h>

#ifndef AGENT_VERSION
#error "AGENT_VERSION is the release's version; the Makefile passes it"
#endif

static const char usage[] =
    "usage: meshagent [--serviceId=ID] --paths\n"
    "       meshagent --version | --help\n"
    "\n"
    "  --paths           print the service id and the places that follow from it\n"
    "  --serviceId=ID    the id to use; without it, this executable's name makes one\n"
    "  --version         print the release's version\n"
    "  --help            print this\n";

static int print_paths(const char *id)
{
    const char *problem = service_id_problem(id);
    if (problem) {
        fprintf(stderr, "meshagent: the service id '%s' %s\n", id, problem);
        return 2;
    }
    printf("id       %s\n", id);
    printf("daemon   /Library/LaunchDaemons/%s.plist\n", id);
    printf("agent    /Library/LaunchAgents/%s-agent.plist\n", id);
    printf("socket   /tmp/%s.sock\n", id);
    printf("session  /var/run/%s/session-active\n", id);
    return 0;
}

int main(int argc, char **argv)
{
    static const char id_option[] = "--serviceId=";
    const char *given = NULL;
    bool paths = false;
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
        } else if (strncmp(argv[i], id_option, sizeof id_option - 1) == 0) {
            given = argv[i] + sizeof id_option - 1;
        } else {
            fprintf(stderr, "meshagent: unknown argument '%s'\n%s", argv[i], usage);
            return 2;
        }
    }
    if (!paths) {
        fputs(usage, stderr);
        return 2;
    }
    if (given)
        return print_paths(given);

    char id[SERVICE_ID_LONGEST + 1];
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
    if (!service_id_from_name(name, id, sizeof id)) {
        fprintf(stderr, "meshagent: the executable's name '%s' makes no service id; give --serviceId=ID\n", name);
        return 2;
    }
    return print_paths(id);
}
