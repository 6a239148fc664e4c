// The floor under the Firecracker driver: the least that a client must do for the same effects. Each VM is a
// thread; all do one phase at the same time, and a VM's time of a phase runs from the phase's begin. A record
// is written as durably as the runtime's: a new file, fsync, rename, fsync of the folder. Nothing is checked
// beyond that each call succeeded, and nothing survives its death.
//
//   firecracker-floor KEY=VALUE… ; the result is a line `PHASE NANOSECONDS…` for each phase.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define API_SOCKET "api.sock"
#define FICLONE _IOW(0x94, 9, int)
#define MAX_CALLS 16
#define MAX_PHASES 6

static const char *state_dir, *jailer, *exec_file, *cgroup_mount, *cgroup_parent;
static const char *kernel, *initrd, *disk, *vmstate, *memory;
static const char* configure[MAX_CALLS];
static int configure_count, vm_count = 1, record_bytes, first_uid, created_only;

struct vm {
  int index;
  char folder[512], root[512], cgroup[512], id[32];
  pid_t pid;
  int api;
  int64_t took[MAX_PHASES];
};

struct phase {
  const char* name;
  void (*run)(struct vm*);
};

static pthread_barrier_t begin, end;
static struct timespec began;

static void die(const char* what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void must(int result, const char* what) {
  if (result < 0) die(what);
}

static char* text(char* to, size_t size, const char* format, ...) {
  va_list args;
  va_start(args, format);
  if (vsnprintf(to, size, format, args) >= (int)size) die("a text is too long");
  va_end(args);
  return to;
}

#define PATH(...) text((char[1024]){0}, 1024, __VA_ARGS__)

static void sync_folder(const char* path) {
  const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(fd, path);
  must(fsync(fd), "fsync of a folder");
  close(fd);
}

static void write_record(const struct vm* vm) {
  const char* temporary = PATH("%s/.tmp", vm->folder);
  const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  must(fd, temporary);
  char* bytes = calloc(1, record_bytes);
  must(write(fd, bytes, record_bytes) == record_bytes ? 0 : -1, "write a record");
  free(bytes);
  must(fsync(fd), "fsync of a record");
  close(fd);
  must(rename(temporary, PATH("%s/vm.json", vm->folder)), "rename a record");
  sync_folder(vm->folder);
}

static void make_file(const char* path, int uid) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  must(fd, path);
  must(fchown(fd, uid, uid), "fchown");
  close(fd);
}

// By reflink where the file system can, else what is not a hole. The disk's name is durable with the next
// record.
static void copy_disk(const char* from, const char* to, int uid) {
  const int source = open(from, O_RDONLY | O_CLOEXEC);
  must(source, from);
  const int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  must(target, to);
  struct stat info;
  must(fstat(source, &info), "fstat");
  if (ioctl(target, FICLONE, source) < 0) {
    must(ftruncate(target, info.st_size), "ftruncate");
    for (off_t data = 0; (data = lseek(source, data, SEEK_DATA)) >= 0;) {
      const off_t hole = lseek(source, data, SEEK_HOLE);
      for (off_t at = data; data < hole;)
        must(copy_file_range(source, &data, target, &at, hole - data, 0), "copy");
    }
  }
  must(fchown(target, uid, uid), "fchown");
  must(fsync(target), "fsync of a disk");
  close(source);
  close(target);
}

static void make_jail(const struct vm* vm, int uid) {
  must(mkdir(PATH("%s/jail/firecracker/%s", state_dir, vm->id), 0700), "mkdir");
  must(mkdir(vm->root, 0700), "mkdir");
  must(mkdir(PATH("%s/disks", vm->root), 0755), "mkdir");
  must(link(PATH("%s/root.raw", vm->folder), PATH("%s/disks/root", vm->root)), "link");
  const char* logs[] = {"vmm.log", "metrics.log"};
  for (int i = 0; i < 2; ++i) {
    make_file(PATH("%s/%s", vm->folder, logs[i]), uid);
    must(link(PATH("%s/%s", vm->folder, logs[i]), PATH("%s/%s", vm->root, logs[i])), "link");
  }
  const char* shared[][2] = {{kernel, "kernel"}, {initrd, "initrd"}};
  const char* loaded[][2] = {{vmstate, "vmstate"}, {memory, "memory"}};
  for (int i = 0; i < 2; ++i) {
    const char** file = vmstate != NULL ? loaded[i] : shared[i];
    if (file[0] != NULL) must(link(file[0], PATH("%s/%s", vm->root, file[1])), "link");
  }
}

// Born in its cgroup: a move into it would be waited for.
static void spawn_jailer(struct vm* vm, int uid) {
  char id[16], *empty[] = {NULL};
  text(id, sizeof id, "%d", uid);
  char* args[] = {(char*)jailer,
                  "--id",
                  vm->id,
                  "--exec-file",
                  (char*)exec_file,
                  "--uid",
                  id,
                  "--gid",
                  id,
                  "--chroot-base-dir",
                  PATH("%s/jail", state_dir),
                  cgroup_mount == NULL ? "--" : "--cgroup-version",
                  "2",
                  "--parent-cgroup",
                  PATH("%s/%s", cgroup_mount == NULL ? "" : cgroup_parent, vm->id),
                  "--",
                  "--api-sock",
                  API_SOCKET,
                  "--log-path",
                  "vmm.log",
                  "--level",
                  "Warning",
                  "--metrics-path",
                  "metrics.log",
                  NULL};
  // Without a cgroup its arguments go, up to and with the second `--`.
  if (cgroup_mount == NULL) memmove(&args[12], &args[16], sizeof args - 16 * sizeof args[0]);
  const int files[] = {
      open("/dev/null", O_RDONLY | O_CLOEXEC),
      open(PATH("%s/console.log", vm->folder), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
      open(PATH("%s/vmm.log", vm->folder), O_WRONLY | O_APPEND | O_CLOEXEC)};
  struct clone_args how = {.flags = CLONE_VFORK, .exit_signal = SIGCHLD};
  if (cgroup_mount != NULL) {
    how.flags |= CLONE_INTO_CGROUP;
    how.cgroup = open(vm->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  vm->pid = syscall(SYS_clone3, &how, sizeof how);
  must(vm->pid, "clone3");
  if (vm->pid == 0) {
    for (int i = 0; i < 3; ++i) dup2(files[i], i);
    execve(jailer, args, empty);
    _exit(127);
  }
  for (int i = 0; i < 3; ++i) close(files[i]);
  if (cgroup_mount != NULL) close(how.cgroup);
}

// Woken when the socket is made; it listens a moment later.
static void connect_api(struct vm* vm, int watch) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char events[4096];
  const int folder = open(vm->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(folder, vm->root);
  text(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" API_SOCKET, folder);
  vm->api = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(vm->api, "socket");
  while (connect(vm->api, (struct sockaddr*)&address, sizeof address) < 0) {
    if (errno == ENOENT)
      must(read(watch, events, sizeof events), "inotify");
    else if (errno == ECONNREFUSED)
      usleep(50);
    else
      die("connect");
  }
  close(folder);
}

static void launch(struct vm* vm) {
  const int uid = first_uid + vm->index;
  must(mkdir(vm->folder, 0700), vm->folder);
  write_record(vm);
  sync_folder(PATH("%s/vms", state_dir));
  copy_disk(disk, PATH("%s/root.raw", vm->folder), uid);
  if (cgroup_mount != NULL) must(mkdir(vm->cgroup, 0755), vm->cgroup);
  make_jail(vm, uid);
  const int watch = inotify_init1(IN_CLOEXEC);
  must(inotify_add_watch(watch, vm->root, IN_CREATE), "inotify");
  spawn_jailer(vm, uid);
  // The watch stays: to close it would wait for the kernel's own clean-up.
  connect_api(vm, watch);
}

static void send_call(const struct vm* vm, const char* method, const char* path, const char* body) {
  const char* request = PATH(
      "%s %s HTTP/1.1\r\nHost: firecracker\r\nContent-Type: application/json\r\n"
      "Content-Length: %zu\r\n\r\n%s",
      method, path, strlen(body), body);
  const ssize_t size = strlen(request);
  must(write(vm->api, request, size) == size ? 0 : -1, "send a request");
}

// All answers of success are 204, with no body: each ends with the first empty line.
static void await_answers(const struct vm* vm, int count) {
  char answers[8192];
  size_t size = 0;
  for (int seen = 0; seen < count;) {
    const ssize_t got = read(vm->api, answers + size, sizeof answers - 1 - size);
    if (got <= 0) die("read an answer");
    answers[size += got] = '\0';
    seen = 0;
    for (char* at = answers; (at = strstr(at, "\r\n\r\n")) != NULL; at += 4) ++seen;
  }
  for (char* at = answers; (at = strstr(at, "HTTP/1.1 ")) != NULL; at += 9) {
    if (strncmp(at + 9, "204", 3) == 0) continue;
    fprintf(stderr, "floor: %s\n", answers);
    exit(1);
  }
}

static void call(const struct vm* vm, const char* method, const char* path, const char* body) {
  send_call(vm, method, path, body);
  await_answers(vm, 1);
}

static void create(struct vm* vm) {
  launch(vm);
  for (int i = 0; i < configure_count; ++i) {
    char path[128];
    const char* body = strchr(configure[i], ' ');
    text(path, sizeof path, "%.*s", (int)(body - configure[i]), configure[i]);
    send_call(vm, "PUT", path, body + 1);
  }
  await_answers(vm, configure_count);
  write_record(vm);
}

static void restore(struct vm* vm) {
  launch(vm);
  call(vm, "PUT", "/snapshot/load",
       "{\"snapshot_path\":\"vmstate\",\"mem_backend\":{\"backend_type\":\"File\",\"backend_path\":"
       "\"memory\"},"
       "\"resume_vm\":false}");
  call(vm, "PATCH", "/vm", "{\"state\":\"Resumed\"}");
  write_record(vm);
}

static void start(struct vm* vm) {
  write_record(vm);
  call(vm, "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}");
  write_record(vm);
}

static void pause_vm(struct vm* vm) {
  write_record(vm);
  call(vm, "PATCH", "/vm", "{\"state\":\"Paused\"}");
  write_record(vm);
}

static void resume(struct vm* vm) {
  write_record(vm);
  call(vm, "PATCH", "/vm", "{\"state\":\"Resumed\"}");
  write_record(vm);
}

// One record write: what a rename of a VM is.
static void write_once(struct vm* vm) { write_record(vm); }

static int remove_entry(const char* path, const struct stat* info, int type, struct FTW* walk) {
  (void)info, (void)type, (void)walk;
  return remove(path);
}

static void remove_all(const char* path) { must(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), path); }

static void destroy(struct vm* vm) {
  write_record(vm);
  if (cgroup_mount != NULL) {
    const int kill_file = open(PATH("%s/cgroup.kill", vm->cgroup), O_WRONLY | O_CLOEXEC);
    must(kill_file, "cgroup.kill");
    must(write(kill_file, "1", 1), "cgroup.kill");
    close(kill_file);
  } else {
    must(vm->pid > 0 ? kill(vm->pid, SIGKILL) : -1, "kill");
  }
  must(waitpid(vm->pid, NULL, 0), "waitpid");
  vm->pid = 0;  // somebody else's from here on
  close(vm->api);
  // A double's guest is in it too, and ends a moment after its VMM.
  while (cgroup_mount != NULL && rmdir(vm->cgroup) != 0) {
    if (errno != EBUSY) must(-1, vm->cgroup);
    usleep(100);
  }
  remove_all(PATH("%s/jail/firecracker/%s", state_dir, vm->id));
  const char* files[] = {"root.raw", "vmm.log", "metrics.log", "console.log"};
  for (int i = 0; i < 4; ++i) must(unlink(PATH("%s/%s", vm->folder, files[i])), "unlink");
  write_record(vm);
}

static const struct phase kBooted[] = {{"create", create}, {"start", start},       {"pause", pause_vm},
                                       {"resume", resume}, {"rename", write_once}, {"destroy", destroy}};
static const struct phase kCreated[] = {{"create", create}, {"destroy", destroy}};
static const struct phase kRestored[] = {{"restore", restore}, {"rename", write_once}, {"destroy", destroy}};

static struct vm* vms;
static const struct phase* phases;
static int phase_count;

static void kill_all(void) {
  for (int i = 0; i < vm_count; ++i) {
    if (vms[i].pid > 0) kill(vms[i].pid, SIGKILL);
  }
}

static void* live(void* argument) {
  struct vm* vm = argument;
  for (int i = 0; i < phase_count; ++i) {
    pthread_barrier_wait(&begin);
    phases[i].run(vm);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    vm->took[i] = (now.tv_sec - began.tv_sec) * 1000000000LL + now.tv_nsec - began.tv_nsec;
    pthread_barrier_wait(&end);
  }
  vm->pid = 0;
  return NULL;
}

static void run_phases(pthread_t* threads) {
  pthread_barrier_init(&begin, NULL, vm_count + 1);
  pthread_barrier_init(&end, NULL, vm_count + 1);
  for (int i = 0; i < vm_count; ++i) {
    if (pthread_create(&threads[i], NULL, live, &vms[i]) != 0) die("pthread_create");
  }
  for (int i = 0; i < phase_count; ++i) {
    clock_gettime(CLOCK_MONOTONIC, &began);
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    printf("%s", phases[i].name);
    for (int j = 0; j < vm_count; ++j) printf(" %lld", (long long)vms[j].took[i]);
    printf("\n");
    // The reader may act on the end of a phase.
    fflush(stdout);
  }
  for (int i = 0; i < vm_count; ++i) pthread_join(threads[i], NULL);
}

static void read_option(char* option) {
  const struct {
    const char* key;
    const char** value;
  } texts[] = {{"state-dir", &state_dir},
               {"jailer", &jailer},
               {"exec-file", &exec_file},
               {"cgroup-mount", &cgroup_mount},
               {"cgroup-parent", &cgroup_parent},
               {"kernel", &kernel},
               {"initrd", &initrd},
               {"disk", &disk},
               {"vmstate", &vmstate},
               {"memory", &memory}};
  const struct {
    const char* key;
    int* value;
  } numbers[] = {{"vms", &vm_count},
                 {"record-bytes", &record_bytes},
                 {"first-uid", &first_uid},
                 {"created-only", &created_only}};
  char* value = strchr(option, '=');
  if (value == NULL) die(option);
  *value++ = '\0';
  for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
    if (strcmp(option, texts[i].key) == 0) *texts[i].value = value;
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
    if (strcmp(option, numbers[i].key) == 0) *numbers[i].value = atoi(value);
  }
  if (strcmp(option, "put") == 0 && configure_count < MAX_CALLS) configure[configure_count++] = value;
}

int main(int count, char** options) {
  for (int i = 1; i < count; ++i) read_option(options[i]);
  if (created_only) {
    phases = kCreated;
    phase_count = sizeof kCreated / sizeof *kCreated;
  } else {
    phases = vmstate == NULL ? kBooted : kRestored;
    phase_count = vmstate == NULL ? sizeof kBooted / sizeof *kBooted : sizeof kRestored / sizeof *kRestored;
  }
  vms = calloc(vm_count, sizeof *vms);
  pthread_t* threads = calloc(vm_count, sizeof *threads);
  for (int i = 0; i < vm_count; ++i) {
    struct vm* vm = &vms[i];
    vm->index = i;
    text(vm->id, sizeof vm->id, "floor%d", i);
    text(vm->folder, sizeof vm->folder, "%s/vms/%s", state_dir, vm->id);
    text(vm->root, sizeof vm->root, "%s/jail/firecracker/%s/root", state_dir, vm->id);
    if (cgroup_mount != NULL)
      text(vm->cgroup, sizeof vm->cgroup, "%s/%s/%s", cgroup_mount, cgroup_parent, vm->id);
  }
  atexit(kill_all);
  run_phases(threads);
  return 0;
}
