import { compiles, program } from './probes.mjs';

const STATIC_PROGRAM = `
#include <linux/vm_sockets.h>
#include <pthread.h>
#include <string>
int main(int argc, char**) { return static_cast<int>(std::string(static_cast<size_t>(argc), 'x').size()) - 1; }
`;
const HASHING_PROGRAM = `
#include <openssl/sha.h>
int main() { unsigned char digest[SHA256_DIGEST_LENGTH]; SHA256(digest, 1, digest); }
`;
/** Uses one function of a library, by a declaration of its header. */
const calling = (header, call) => `#include <${header}>\nint main() { return ${call} == 0 ? 1 : 0; }\n`;
const FUZZ_TARGET = `
#include <cstddef>
#include <cstdint>
extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t) { return 0; }
`;

/** What set-up and quickstart need besides Node: Debian's package, and a probe of what is used of it. */
export const SETUP_REQUIREMENTS = [
  {
    package: 'g++',
    purpose: 'compiles the addon, and the guest agent as a static program',
    probe: compiles('g++', ['-static', '-pthread'], STATIC_PROGRAM),
  },
  { package: 'cmake', purpose: 'builds them', probe: program('cmake') },
  { package: 'ninja-build', purpose: 'builds them', probe: program('ninja') },
  {
    package: 'libssl-dev',
    purpose: "OpenSSL's SHA-256 is linked into the addon",
    probe: compiles('g++', ['-l:libcrypto.a', '-pthread', '-ldl'], HASHING_PROGRAM),
  },
  {
    package: 'zlib1g-dev',
    purpose: 'zlib is linked into the addon: layers of images in gzip',
    probe: compiles('g++', ['-l:libz.a'], calling('zlib.h', 'zlibVersion()[0]')),
  },
  {
    package: 'libzstd-dev',
    purpose: 'so is zstd',
    probe: compiles('g++', ['-l:libzstd.a', '-pthread'], calling('zstd.h', 'ZSTD_versionNumber()')),
  },
  {
    package: 'liblzma-dev',
    purpose: 'so is liblzma, for layers in xz',
    probe: compiles('g++', ['-l:liblzma.a', '-pthread'], calling('lzma.h', 'lzma_version_number()')),
  },
  { package: 'qemu-system-x86', purpose: 'runs the VMs', probe: program('qemu-system-x86_64') },
  { package: 'e2fsprogs', purpose: 'makes the disks of VMs', probe: program('mkfs.ext4') },
];

/** What only the gate needs. */
const TEST_REQUIREMENTS = [
  {
    package: 'g++',
    purpose: 'its AddressSanitizer and UBSan run in the C++ tests',
    probe: compiles('g++', ['-fsanitize=address,undefined']),
  },
  {
    package: 'g++',
    purpose: 'its ThreadSanitizer runs in the C++ tests',
    probe: compiles('g++', ['-fsanitize=thread']),
  },
  { package: 'clang', purpose: 'compiles the fuzz targets', probe: program('clang++') },
  {
    // Only recommended by clang-14, so apt-get leaves it out here.
    package: 'libclang-rt-14-dev',
    purpose: 'libFuzzer and the sanitizers of clang run the fuzz targets',
    probe: compiles('clang++', ['-fsanitize=fuzzer,address,undefined'], FUZZ_TARGET),
  },
  {
    package: 'clang-format-14',
    purpose: 'checks the format of the C++ sources; another version would format them in another way',
    probe: program('clang-format-14'),
  },
  {
    package: 'binutils',
    purpose: 'shows what the built binaries export and need',
    probe: program('readelf'),
  },
  {
    package: 'apache2-utils',
    purpose: 'writes the password file of the registry of the tests',
    probe: program('htpasswd'),
  },
  { package: 'attr', purpose: 'shows extended attributes in the tests', probe: program('getfattr') },
  { package: 'cpio', purpose: 'reads back the initrd in the tests', probe: program('cpio') },
  { package: 'docker-registry', purpose: 'is the registry of the tests', probe: program('docker-registry') },
  { package: 'iproute2', purpose: 'shows the network in the tests as others see it', probe: program('ip') },
  { package: 'mmdebstrap', purpose: 'makes the Debian image of the tests', probe: program('mmdebstrap') },
  { package: 'mount', purpose: 'mounts file systems of the tests', probe: program('mount') },
  { package: 'skopeo', purpose: 'pulls and pushes images', probe: program('skopeo') },
  {
    package: 'squashfs-tools',
    purpose: 'makes the root file systems of images, and shows them in the tests',
    probe: program('sqfstar'),
  },
  {
    package: 'squashfs-tools',
    purpose: 'makes the images that guests of the tests boot',
    probe: program('mksquashfs'),
  },
  { package: 'strace', purpose: 'counts system calls in the tests', probe: program('strace') },
  { package: 'tmux', purpose: 'draws the screens of the terminal tests', probe: program('tmux') },
  {
    package: 'umoci',
    purpose: 'makes images in the tests, and unpacks them to compare',
    probe: program('umoci'),
  },
  { package: 'util-linux', purpose: 'gives tests namespaces of their own', probe: program('unshare') },
  { package: 'xz-utils', purpose: 'packs layers of the tests', probe: program('xz') },
  { package: 'zstd', purpose: 'packs layers of the tests', probe: program('zstd') },
  {
    package: 'xfsprogs',
    purpose: 'makes a file system with reflinks in the tests',
    probe: program('mkfs.xfs'),
  },
];

export const GATE_REQUIREMENTS = [...SETUP_REQUIREMENTS, ...TEST_REQUIREMENTS];
