#pragma once

namespace microvm::agent {

// What the guest's init does with file systems.

// /proc, /sys, /dev and so on; those that are mounted already are left alone.
void MountKernelFileSystems();

// The ext4 data disk at /mnt/root. `expected`: wait for the device, and tell when it cannot be had.
void MountDataDisk(const char* device, bool expected);

// Writes everything back and unmounts what lies on a block device, or makes it read-only where it is in use.
void ReleaseFileSystems();

}  // namespace microvm::agent
