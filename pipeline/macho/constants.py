"""Numbers of the format with the names they have in <mach-o/loader.h>, <mach-o/fat.h> and <mach/machine.h>."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

MH_MAGIC: Final = 0xFEEDFACE
MH_MAGIC_64: Final = 0xFEEDFACF
MH_CIGAM: Final = 0xCEFAEDFE
MH_CIGAM_64: Final = 0xCFFAEDFE
FAT_MAGIC: Final = 0xCAFEBABE
FAT_MAGIC_64: Final = 0xCAFEBABF

CPU_ARCH_ABI64: Final = 0x01000000
CPU_ARCH_ABI64_32: Final = 0x02000000
CPU_TYPE_X86: Final = 7
CPU_TYPE_X86_64: Final = CPU_TYPE_X86 | CPU_ARCH_ABI64
CPU_TYPE_ARM: Final = 12
CPU_TYPE_ARM64: Final = CPU_TYPE_ARM | CPU_ARCH_ABI64
CPU_TYPE_ARM64_32: Final = CPU_TYPE_ARM | CPU_ARCH_ABI64_32
CPU_TYPE_POWERPC: Final = 18
CPU_TYPE_POWERPC64: Final = CPU_TYPE_POWERPC | CPU_ARCH_ABI64
# The top byte of a subtype holds capabilities (LIB64, the pointer-authentication version of arm64e).
CPU_SUBTYPE_MASK: Final = 0x00FFFFFF

X86_CPUS: Final = frozenset({CPU_TYPE_X86, CPU_TYPE_X86_64})
POWERPC_CPUS: Final = frozenset({CPU_TYPE_POWERPC, CPU_TYPE_POWERPC64})
ARM64_CPUS: Final = frozenset({CPU_TYPE_ARM64, CPU_TYPE_ARM64_32})

_ARCHITECTURES: Final = {
    (CPU_TYPE_X86, 3): "i386",
    (CPU_TYPE_X86_64, 3): "x86_64",
    (CPU_TYPE_X86_64, 8): "x86_64h",
    (CPU_TYPE_ARM, 0): "arm",
    (CPU_TYPE_ARM, 6): "armv6",
    (CPU_TYPE_ARM, 9): "armv7",
    (CPU_TYPE_ARM, 11): "armv7s",
    (CPU_TYPE_ARM, 12): "armv7k",
    (CPU_TYPE_ARM64, 0): "arm64",
    (CPU_TYPE_ARM64, 1): "arm64v8",
    (CPU_TYPE_ARM64, 2): "arm64e",
    (CPU_TYPE_ARM64_32, 0): "arm64_32",
    (CPU_TYPE_ARM64_32, 1): "arm64_32",
    (CPU_TYPE_POWERPC, 0): "ppc",
    (CPU_TYPE_POWERPC, 9): "ppc750",
    (CPU_TYPE_POWERPC, 10): "ppc7400",
    (CPU_TYPE_POWERPC, 11): "ppc7450",
    (CPU_TYPE_POWERPC, 100): "ppc970",
    (CPU_TYPE_POWERPC64, 0): "ppc64",
    (CPU_TYPE_POWERPC64, 100): "ppc970-64",
}


def arch_name(cputype: int, cpusubtype: int) -> str:
    """The architecture's name as lipo gives it, such as arm64e; "cpu 18/0" for one without a name here."""
    subtype = cpusubtype & CPU_SUBTYPE_MASK
    return _ARCHITECTURES.get((cputype, subtype), f"cpu {cputype}/{subtype}")


class FileType(IntEnum):
    """MH_*: what a Mach-O file is for."""

    OBJECT = 1
    EXECUTE = 2
    FVMLIB = 3
    CORE = 4
    PRELOAD = 5
    DYLIB = 6
    DYLINKER = 7
    BUNDLE = 8
    DYLIB_STUB = 9
    DSYM = 10
    KEXT_BUNDLE = 11
    FILESET = 12


class Platform(IntEnum):
    """PLATFORM_*: the system that code is built for."""

    MACOS = 1
    IOS = 2
    TVOS = 3
    WATCHOS = 4
    BRIDGEOS = 5
    MAC_CATALYST = 6
    IOS_SIMULATOR = 7
    TVOS_SIMULATOR = 8
    WATCHOS_SIMULATOR = 9
    DRIVERKIT = 10


LC_REQ_DYLD: Final = 0x80000000
LC_SEGMENT: Final = 0x1
LC_SYMTAB: Final = 0x2
LC_SEGMENT_64: Final = 0x19
LC_UUID: Final = 0x1B
LC_CODE_SIGNATURE: Final = 0x1D
LC_ENCRYPTION_INFO: Final = 0x21
LC_ENCRYPTION_INFO_64: Final = 0x2C
LC_DYLIB_CODE_SIGN_DRS: Final = 0x2B
LC_BUILD_VERSION: Final = 0x32

# LC_LOAD_DYLIB, weak, re-export, lazy, upward.
LIBRARY_COMMANDS: Final = frozenset({0xC, 0x18 | LC_REQ_DYLD, 0x1F | LC_REQ_DYLD, 0x20, 0x23 | LC_REQ_DYLD})

# LC_VERSION_MIN_MACOSX, _IPHONEOS, _TVOS, _WATCHOS.
VERSION_MIN_PLATFORMS: Final = {
    0x24: Platform.MACOS,
    0x25: Platform.IOS,
    0x2F: Platform.TVOS,
    0x30: Platform.WATCHOS,
}

# S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL: sections without bytes in the file.
ZEROFILL_SECTIONS: Final = frozenset({0x1, 0xC, 0x12})
