"""security(1): keychains. With -i commands come on standard input, and the exit code says nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from doubles import bench
from doubles.bench import Job, option
from doubles.keychains import Keychain, Keychains, keychains_of, opened_p12, pem_of

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def act(job: Job) -> int:
    if job.words == ["-i"]:
        for line in sys.stdin.read().splitlines():
            words = [re.sub(r"\\(.)", r"\1", one[1]) if one[1] is not None else one[2] for one in _WORD.finditer(line)]
            sys.stdout.write("security> ")
            bench.run(Job(job.bench, words, job.caller), "security")
        return 0
    commands = {
        "create-keychain": _create,
        "set-keychain-settings": _settings,
        "show-keychain-info": _info,
        "unlock-keychain": _unlock,
        "import": _import,
        "set-key-partition-list": _partition,
        "list-keychains": _list,
        "default-keychain": _default,
        "delete-keychain": _delete,
        "find-identity": _find,
    }
    with keychains_of(job.bench) as known:
        return commands[job.words[0]](job, known)


def _create(job: Job, known: Keychains) -> int:
    path = job.words[-1]
    if path in known.keychains:
        job.say("security: SecKeychainCreate: A keychain with the same name already exists.")
        return 48
    known.keychains[path] = Keychain(password=str(option(job.words, "-p")), locked=False)
    Path(path).write_bytes(b"kych")
    if job.bench.lever(
        "creating-lists"
    ):  # as before macOS 10.9: on the search list, and the default where there is none
        known.search.append(path)
        known.default = known.default or path
    return 0


def _there(job: Job, known: Keychains, path: str) -> Keychain | None:
    if path not in known.keychains:
        job.say("security: SecKeychainOpen: The specified keychain could not be found.")
    return known.keychains.get(path)


def _settings(job: Job, known: Keychains) -> int:
    keychain = _there(job, known, job.words[-1])
    if keychain is None:
        return 50
    keychain.timeout = int(job.words[2])
    keychain.locked = bool(job.bench.lever("locks"))
    return 0


def _info(job: Job, known: Keychains) -> int:
    keychain = _there(job, known, job.words[-1])
    if keychain is None:
        return 50
    if keychain.locked:
        job.say("security: SecKeychainCopySettings: User interaction is not allowed.")
        return 36
    job.say(f'Keychain "{job.words[-1]}" lock-on-sleep timeout={keychain.timeout}s')
    return 0


def _unlock(job: Job, known: Keychains) -> int:
    keychain = _there(job, known, job.words[-1])
    if keychain is None:
        return 50
    if keychain.password != option(job.words, "-p"):
        job.say("security: SecKeychainUnlock: The user name or passphrase you entered is not correct.")
        return 51
    keychain.locked = False
    return 0


def _import(job: Job, known: Keychains) -> int:
    keychain = _there(job, known, str(option(job.words, "-k")))
    if keychain is None:
        return 50
    if keychain.locked:
        job.say("security: SecKeychainItemImport: User interaction is not allowed.")
        return 36
    data = Path(job.words[1]).read_bytes()
    if "-P" not in job.words:
        keychain.certificates.append(pem_of(data))
        job.tell("1 certificate imported.")
        return 0
    opened = opened_p12(data, str(option(job.words, "-P")))
    if opened is None:
        job.say("security: SecKeychainItemImport: MAC verification failed during PKCS12 import (wrong password?)")
        return 1
    held, others = opened
    keychain.identities.append(held)
    keychain.certificates += others
    job.tell("1 identity imported.")
    return 0


def _partition(job: Job, known: Keychains) -> int:
    keychain = _there(job, known, job.words[-1])
    if keychain is None:
        return 50
    if keychain.password != option(job.words, "-k"):
        job.say("security: SecKeychainItemSetAccessWithPassword: The user name or passphrase is not correct.")
        return 51
    keychain.partitions = "apple:" in str(option(job.words, "-S")).split(",")
    return 0


def _list(job: Job, known: Keychains) -> int:
    if "-s" in job.words:
        if not job.bench.lever("no-preferences"):  # the real one says nothing either
            known.search = job.words[job.words.index("-s") + 1 :]
        return 0
    job.tell(*(f'    "{path}"' for path in known.search))
    return 0


def _default(job: Job, known: Keychains) -> int:
    if "-s" in job.words:
        known.default = job.words[-1]
    elif known.default is None:
        job.say("security: SecKeychainCopyDefault: A default keychain could not be found.")
        return 1
    else:
        job.tell(f'    "{known.default}"')
    return 0


def _delete(job: Job, known: Keychains) -> int:
    path = job.words[-1]
    if _there(job, known, path) is None:
        return 50
    del known.keychains[path]
    known.default = None if known.default == path else known.default
    known.search = [one for one in known.search if one != path]
    Path(path).unlink(missing_ok=True)
    return 0


def _find(job: Job, known: Keychains) -> int:
    given = _keychains_asked(job.words)
    held = [
        one
        for path in given or known.search
        for one in (known.keychains[path].identities if path in known.keychains else [])
    ]
    for number, one in enumerate(held, 1):
        problem = f" ({one.problem})" if one.problem else ""
        job.tell(f'{number:3d}) {one.sha1} "{one.name}"{problem}')
    job.tell(f"     {len(held)} valid identities found")
    return 0


def _keychains_asked(words: Sequence[str]) -> list[str]:
    return [word for word in words[1:] if word.endswith(".keychain-db")]
