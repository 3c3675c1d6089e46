/* The agent's two lives. Each returns the exit code. */

#ifndef ROLES_H
#define ROLES_H

struct places;

int run_daemon(const struct places *places);
int run_session(const struct places *places);

#endif
