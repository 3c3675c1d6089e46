"""Single files and bundles: look, sign, verify, take apart. No configuration is needed."""

from __future__ import annotations

from invoke import Context as InvokeContext
from invoke import task

from pipeline.tasks.options import DEBUG, JSON
from pipeline.tasks.session import command, is_dry

_ANCHORS = {"anchors": "a folder of root certificates instead of Apple's, e.g. build/macos/rehearsal/anchors"}
_PATH = {"path": "a Mach-O file or a bundle; `--path` can be left out"}
_OUTPUT = {"output": "where the new file goes"}


@task(auto_shortflags=False, help=_PATH | JSON | DEBUG)
def inspect(context: InvokeContext, path: str, json: bool = False, debug: bool = False) -> None:
    """Every signature in a Mach-O file or a bundle, as stable text."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import examining

        examining.inspect(host, path, as_json=json)


@task(
    auto_shortflags=False,
    iterable=["nested_entitlements"],
    help=_PATH
    | {
        "identity": "adhoc, or a .p12 or PEM file with certificate and key; its password is asked for",
        "identifier": "default: CFBundleIdentifier, else from the file's name",
        "entitlements": "a property list in XML; it goes into the signature verbatim",
        "nested_entitlements": "PATTERN=FILE for code inside a bundle, e.g. Contents/XPCServices/*.xpc=x.plist, or "
        "PATTERN=preserve; give it once for each",
        "sign_archives": "sign the code in a bundle's jars, wheels and zips too; without it, it is told of",
        "requirements": "in the requirement language, or a file of it; default: the identity's designated requirement",
        "options": "flags such as runtime,library; none for none. Default: runtime, and none for adhoc",
        "era": "the generation of codesign whose bytes are made, e.g. macos-26 or macos-12",
        "prefix": "put before an identifier without a dot that comes from the file's name, e.g. com.example.",
        "runtime_version": "of the hardened runtime, e.g. 13.1; default: the SDK that the code was linked against",
        "digest_algorithm": "e.g. sha256, or sha1,sha256; default: by the oldest macOS that the code runs on",
        "page_size": "bytes that one hash covers, a power of two; default: the era's",
        "launch_constraint_self": "a property list: what must hold of this program when it starts",
        "launch_constraint_parent": "a property list: of the process that starts it",
        "launch_constraint_responsible": "a property list: of the process that answers for it",
        "library_constraint": "a property list: of the libraries that it loads",
        "timestamp": "auto (Apple's service, for a Developer ID) or none",
        "output": "default: in place, by one rename",
    }
    | _ANCHORS
    | DEBUG,
)
def sign(
    context: InvokeContext,
    path: str,
    identity: str = "adhoc",
    identifier: str | None = None,
    entitlements: str | None = None,
    nested_entitlements: list[str] | None = None,
    sign_archives: bool = False,
    requirements: str | None = None,
    options: str | None = None,
    era: str = "macos-26",
    prefix: str = "",
    runtime_version: str | None = None,
    digest_algorithm: str | None = None,
    page_size: str | None = None,
    launch_constraint_self: str | None = None,
    launch_constraint_parent: str | None = None,
    launch_constraint_responsible: str | None = None,
    library_constraint: str | None = None,
    timestamp: str = "auto",
    output: str | None = None,
    anchors: str | None = None,
    debug: bool = False,
) -> None:
    """Sign a Mach-O file or a bundle with the portable engine."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import signing

        wish = signing.Wish(
            identity=identity,
            identifier=identifier,
            entitlements=entitlements,
            requirements=requirements,
            options=options,
            era=era,
            prefix=prefix,
            runtime_version=runtime_version,
            digest_algorithm=digest_algorithm,
            page_size=page_size,
            constraints=(
                launch_constraint_self,
                launch_constraint_parent,
                launch_constraint_responsible,
                library_constraint,
            ),
            timestamp=timestamp,
            anchors=anchors,
            nested_entitlements=tuple(nested_entitlements or ()),
            sign_archives=sign_archives,
        )
        signing.sign(host, path, output or path, wish, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help=_PATH | {"requirement": "in the requirement language: every slice must satisfy it"} | _ANCHORS | JSON | DEBUG,
)
def verify(
    context: InvokeContext,
    path: str,
    requirement: str | None = None,
    anchors: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Digests, seal, CMS, chain, time stamp, requirement; each slice. What is not judged is said."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import examining

        examining.verify(host, path, requirement, anchors, as_json=json)


@task(auto_shortflags=False, help=_PATH | JSON | DEBUG)
def reproduce(context: InvokeContext, path: str, json: bool = False, debug: bool = False) -> None:
    """Sign again from the inputs recorded in the signature; does the same CodeDirectory come out, and of which era?

    Options that codesign must have been given are told, and of a bundle what differs in its seal.
    """
    with command(context, debug=debug) as host:
        from pipeline.tasks import examining

        examining.reproduce(host, path, as_json=json)


@task(auto_shortflags=False, help=_PATH | _OUTPUT | {"era": "whose way of removing it is followed"} | DEBUG)
def strip(context: InvokeContext, path: str, output: str, era: str = "macos-26", debug: bool = False) -> None:
    """The file without its signature."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import signing

        signing.strip(host, path, output, era, dry=is_dry(context))


@task(
    auto_shortflags=False,
    iterable=["slice_"],
    help=_OUTPUT | {"slice_": "a thin file; give it once for each"} | DEBUG,
)
def universal(context: InvokeContext, slice_: list[str], output: str, debug: bool = False) -> None:
    """Join thin files into a universal one, slices byte for byte."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import signing

        signing.universal(host, slice_, output, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help={"path": "a universal file; `--path` can be left out"} | _OUTPUT | {"arch": "x86_64, arm64, …"} | DEBUG,
)
def thin(context: InvokeContext, path: str, arch: str, output: str, debug: bool = False) -> None:
    """One slice of a universal file, byte for byte."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import signing

        signing.thin(host, path, arch, output, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help={
        "path": "a bundle, dmg, pkg, or a ticket file, raw or in base64; `--path` can be left out",
        "for_": "a file, bundle, package or disk image: which of its slices does the ticket prove?",
    }
    | _ANCHORS
    | JSON
    | DEBUG,
)
def ticket(
    context: InvokeContext,
    path: str,
    for_: str | None = None,
    anchors: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """The ticket stapled to a bundle, dmg or pkg, or a ticket file: its signature, its CDHashes, what they prove."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import examining

        examining.ticket(host, path, for_, anchors, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "path": "a bundle, a flat package or a signed disk image; `--path` can be left out",
        "ticket": "a ticket file, raw or in base64; default: it is looked up",
        "lookup": "another ticket service than Apple's, such as the one that rehearsal.serve prints",
    }
    | _ANCHORS
    | DEBUG,
)
def staple(
    context: InvokeContext,
    path: str,
    ticket: str | None = None,
    lookup: str | None = None,
    anchors: str | None = None,
    debug: bool = False,
) -> None:
    """Give a bundle, a flat package or a disk image its ticket, and read it back."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import stapling

        stapling.staple(host, path, ticket, lookup, anchors, dry=is_dry(context))


@task(
    auto_shortflags=False,
    help={
        "one": "a Mach-O file or a bundle; `--one` and `--other` can be left out",
        "other": "what it is compared with",
    }
    | JSON
    | DEBUG,
)
def diff(context: InvokeContext, one: str, other: str, json: bool = False, debug: bool = False) -> None:
    """Two signatures, field by field; exit 9 where they differ."""
    with command(context, debug=debug) as host:
        from pipeline.tasks import examining

        examining.diff(host, one, other, as_json=json)


@task(
    auto_shortflags=False,
    help={
        "old": "a Mach-O file or a bundle; `--old` and `--new` can be left out",
        "new": "what shall be held for it",
    }
    | _ANCHORS
    | DEBUG,
)
def trust(context: InvokeContext, old: str, new: str, anchors: str | None = None, debug: bool = False) -> None:
    """Does NEW satisfy OLD's designated requirement, so that permissions granted to OLD hold for NEW?"""
    with command(context, debug=debug) as host:
        from pipeline.tasks import examining

        examining.trust(host, old, new, anchors)
