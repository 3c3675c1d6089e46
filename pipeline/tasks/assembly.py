"""Puts a release together from its parts: configuration, checkout, world, toolchain, log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline import config, provenance
from pipeline.checkout import checkout_facts, source_key
from pipeline.config.products import IDENTITY_FILES
from pipeline.errors import ConfigurationError, HostRefused, ReleaseError
from pipeline.host import Host
from pipeline.identity import APPLE_ANCHORS, is_closed
from pipeline.journal import Journal
from pipeline.model import Configuration, Plan, World
from pipeline.redact import Secret
from pipeline.release import begin
from pipeline.stages.context import Context, SilentLog
from pipeline.tasks.places import CONFIGURATION
from pipeline.toolchain import Toolchain
from pipeline.toolchain.services import Services


def configuration_of(host: Host, path: str | None) -> Configuration:
    """`path` is the caller's; without one, the release.toml beside tasks.py."""
    return config.load(Path(path).absolute() if path else CONFIGURATION, host)


def credentials_file(host: Host, path: str | None) -> Path | None:
    """The file that [notary] credentials names for the notary's keys; None is the system's keyring."""
    return config.load_notary(Path(path).absolute() if path else CONFIGURATION, host).credentials


def _refuse_links(folder: Path) -> None:
    """Nothing is written, and nothing removed, where a link leads; a compiler's cache alone may be elsewhere."""
    for path in (*folder.iterdir(), *folder.glob("*/*")):
        if path != folder / "zig" and path.is_symlink() and path.is_dir():
            raise HostRefused(
                "a symbolic link stands in the place of a folder that a release writes to",
                where=str(path),
                remedy="remove it; to have outputs elsewhere, put the whole checkout there",
            )


@contextmanager
def assembled(
    host: Host, configuration: Configuration, *, writes: bool, allow_dirty: bool = False
) -> Iterator[tuple[Context, Plan]]:
    """The context and the plan before any stage. With `writes` the output folder is locked and the log is open."""
    plan, keys = _checkout(host, configuration, allow_dirty=allow_dirty)
    folder = configuration.folder
    with ExitStack() as stack:
        if writes:
            host.files.make_folder(folder)
            stack.enter_context(host.files.lock(folder / ".lock"))
            _refuse_links(folder)
            host.files.remove_unfinished(folder)
            # What a killed run worked on, a key that it gave to a tool among it.
            host.files.remove(folder / ".work")
            log = Journal(
                host.files, host.clock, folder / "audit.jsonl", run=host.entropy.bytes(8).hex(), redact=host.redact
            )
        journal = log if writes else SilentLog()
        yield (
            Context(
                host=host,
                toolchain=_toolchain(host, configuration, stack, journal.record),
                journal=journal,
                folder=folder,
                source_keys=keys,
            ),
            plan,
        )


def provenance_signer(host: Host, configuration: Configuration) -> provenance.Signer | None:
    """The key that the configuration names for the provenance; None where it names none."""
    path = configuration.provenance_key
    if path is None:
        return None
    configuration.demand_ready()
    data = host.files.read(path)
    try:
        return provenance.load_signer(data, _password(host, path) if is_closed(data) else None)
    except ReleaseError as error:
        raise error.at(str(path)) from None


def _password(host: Host, path: Path) -> Secret:
    """Of the provenance's key."""
    return host.secrets.get_or_ask(f"provenance:{path.name}", f"password of {path.name}")


def announce(host: Host, configuration: Configuration, plan: Plan) -> None:
    """Said before anything else: which release, and that it is none where it is none."""
    host.console.say(
        f"{configuration.release} {plan.version} · world {configuration.world} · {configuration.toolchain}"
    )
    if configuration.world is World.REHEARSAL:
        host.console.say("REHEARSAL: own certificates, own notary; Apple has no part in it, and no Mac will trust it")
    if configuration.tools is not None:
        host.console.say(f"DOUBLES: the tools in {configuration.tools} do the work, not Apple's")
    if plan.dirty:
        words = "the checkout has changes that are not committed"
        host.console.say(f"warning: {words}")
        host.console.annotate("warning", words, str(configuration.path.name))


def _checkout(host: Host, configuration: Configuration, *, allow_dirty: bool) -> tuple[Plan, dict[str, str]]:
    keys: dict[str, str] = {}
    facts = None
    for product in configuration.products:
        found = checkout_facts(host, product.source, outputs=configuration.folder)
        keys[product.name] = source_key(found)
        if facts is None:
            facts = found
        elif (found.commit, found.epoch) != (facts.commit, facts.epoch):
            raise ConfigurationError(
                "its source is in another checkout than the first product's", where=f"product {product.name}"
            )
    assert facts is not None
    plan = begin(configuration, facts)
    if plan.dirty and configuration.world is World.REAL and not allow_dirty:
        raise ConfigurationError(
            "the checkout has changes that are not committed",
            where=str(configuration.products[0].source),
            remedy="commit them, or use --allow-dirty (the publish gate will refuse the release)",
        )
    return plan, keys


def _toolchain(host: Host, configuration: Configuration, stack: ExitStack, record: Callable[..., object]) -> Toolchain:
    from pipeline.toolchain.portable import PortableToolchain

    folder, world = configuration.folder, configuration.world
    engine = PortableToolchain(host, _services(host, configuration, stack), folder, world)
    if configuration.toolchain == "portable":
        return engine
    from pipeline.toolchain.apple import AppleToolchain, Tools

    tools = Tools(host=host, folder=configuration.tools, record=record)
    return AppleToolchain(
        tools,
        engine,
        folder,
        world,
        identity=_keychain_identity(configuration),
        profile=configuration.notary.profile,
    )


def _keychain_identity(configuration: Configuration) -> str | None:
    """What [sign] identity names in the keychains; a file, which a rehearsal may name, is none of them."""
    name = configuration.identity
    return None if name is None or name.lower().endswith(IDENTITY_FILES) else name


def _services(host: Host, configuration: Configuration, stack: ExitStack) -> Callable[[], Services]:
    """How the world's identity and services are had; asked for by the first stage that needs them."""

    def rehearsal() -> Services:
        from pipeline.rehearsal import Rehearsal

        return stack.enter_context(Rehearsal(configuration.folder / "rehearsal", host)).services

    def local() -> Services:
        return Services(
            identity=None, anchors=APPLE_ANCHORS, timestamp_url=None, tickets_url=None, notary=None, credentials=None
        )

    def real() -> Services:
        from pipeline.tasks.real_world import keychain_services, real_services

        configuration.demand_ready()
        services = keychain_services if configuration.toolchain == "apple" else real_services
        return services(host, configuration)

    return {World.REHEARSAL: rehearsal, World.LOCAL: local, World.REAL: real}[configuration.world]
