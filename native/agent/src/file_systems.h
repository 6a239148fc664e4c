#pragma once

#include <string>

namespace microvm::agent {

// What the guest's init does with file systems.

// /proc, /sys, /dev and so on; those that are mounted already are left alone.
void MountKernelFileSystems();

// The ext4 data disk at /mnt/root. `expected`: wait for the device, and tell when it cannot be had.
void MountDataDisk(const char* device, bool expected);

bool IsExt4(const char* device);
bool IsSquashfs(const char* device);

// False: the device did not come within 5 s.
bool AwaitDevice(const char* device);

// Writes everything back and unmounts what lies on a block device, or makes it read-only where it is in use.
// `below_root`, if not empty, is the device whose ext4 the overlay at the root keeps in use.
void ReleaseFileSystems(const std::string& below_root);

}  // namespace microvm::agent
