#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "guest/shell.h"
#include "handover.h"
#include "process/arguments.h"
#include "vmm/api_server.h"
#include "vmm/version.h"
#include "vmm/vmm.h"

namespace microvm::fake {
namespace {

constexpr const char* kMain = "main";
constexpr int kArgumentError = 153;
constexpr int kLevelError = 152;
constexpr int kRustPanic = 134;
constexpr int kUnsupportedHere = 2;

Arguments FirecrackerArguments() {
  return Arguments({{"api-sock", true, false, "/run/firecracker.socket"},
                    {"id", true, false, "anonymous-instance"},
                    {"http-api-max-payload-size", true, false, "51200"},
                    {"log-path"},
                    {"level"},
                    {"metrics-path"},
                    {"module"},
                    {"parent-cpu-time-us"},
                    {"start-time-us"},
                    {"start-time-cpu-us"},
                    {"mmds-size-limit"},
                    {"describe-snapshot"},
                    {"config-file"},
                    {"metadata"},
                    {"seccomp-filter"},
                    {"boot-timer", false},
                    {"enable-pci", false},
                    {"help", false},
                    {"no-api", false, false, nullptr, false, "config-file"},
                    {"no-seccomp", false},
                    {"show-level", false},
                    {"show-log-origin", false},
                    {"snapshot-version", false},
                    {"version", false}});
}

// Handed over by the jailer, or beside the program.
std::string FaultRules() {
  if (const char* rules = getenv(kFaultsVariable); rules != nullptr) return rules;
  char program[4096];
  const ssize_t size = readlink("/proc/self/exe", program, sizeof(program));
  std::string rules;
  if (size > 0) ReadFile((std::string(program, static_cast<size_t>(size)) + kFaultsSuffix).c_str(), &rules);
  return rules;
}

class Program {
 public:
  Program(const Arguments& arguments, Logger* log) : arguments_(arguments), log_(log) {}

  int Run() {
    if (const int code = ReadRules(); code != 0) return code;
    if (arguments_.Has("version"))
      return Print(std::string("Firecracker v") + ThisRelease().version + "\n\n");
    if (arguments_.Has("help"))
      return Print(std::string("Firecracker v") + ThisRelease().version + " (a double of it)\n\n");
    if (arguments_.Has("snapshot-version")) return Print("v" + ThisRelease().snapshot_format + "\n");
    if (arguments_.Has("describe-snapshot")) return Describe();
    if (const int code = ConfigureLog(); code != 0) return Leave(code);
    log_->Info(kMain, std::string("Running Firecracker v") + ThisRelease().version);
    for (const char* option : {"config-file", "metadata", "no-api", "enable-pci"}) {
      if (!arguments_.Has(option)) continue;
      fprintf(stderr, "fake-firecracker: --%s is not among what this double does\n", option);
      return Leave(kUnsupportedHere);
    }
    return Serve();
  }

 private:
  int Print(const std::string& text) {
    WriteAll(STDOUT_FILENO, text);
    return Leave(0);
  }

  int Leave(int code) {
    if (code == 0) {
      log_->Info(kMain, "Firecracker exiting successfully. exit_code=0");
    } else {
      log_->Error(kMain, "Firecracker exiting with error. exit_code=" + std::to_string(code));
    }
    return code;
  }

  int Describe() {
    std::string version;
    const std::string problem = ReadVersion(arguments_.Get("describe-snapshot"), &version);
    if (problem.empty()) return Print("v" + version + "\n");
    log_->Error(kMain, "When printing Snapshot Data format: " + problem);
    return Leave(1);
  }

  int ConfigureLog() {
    LoggerConfig config;
    if (arguments_.Has("log-path")) config.log_path = arguments_.Get("log-path");
    if (arguments_.Has("show-level")) config.show_level = true;
    if (arguments_.Has("level")) {
      const std::string json = Quoted(arguments_.Get("level"));
      const std::string body = "{\"level\":" + json + "}";
      Reader in(body);
      LoggerConfig level;
      if (!ReadLogger(&in, &level)) {
        log_->Error(kMain, "Invalid value for logger level: Failed to parse string to level filter: " +
                               arguments_.Get("level") + ".Possible values: [Error, Warning, Info, Debug]");
        return kLevelError;
      }
      config.level = level.level;
    }
    if (const int error = log_->Configure(config); error != 0) {
      log_->Error(kMain, "Could not initialize logger: Failed to open target file: " + OsError(error));
      return 1;
    }
    return 0;
  }

  int Serve() {
    Loop loop;
    if (const auto rule = faults_.Next("start"); rule) {
      if (rule->act == "exit") _exit(static_cast<int>(rule->code));
      if (rule->act == "signal") raise(static_cast<int>(rule->signal));
      if (rule->act == "delay") SleepMs(rule->ms);
      while (rule->act == "hang") pause();
    }
    size_t limit = 0;
    const std::string text = arguments_.Get("http-api-max-payload-size");
    const std::from_chars_result parsed = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
      log_->Error(
          kMain,
          "Firecracker panicked: 'http-api-max-payload-size' parameter expected to be of 'usize' type.");
      return kRustPanic;
    }
    Vmm vmm(arguments_.Get("id"), &loop, log_, &faults_);
    if (arguments_.Has("metrics-path")) {
      if (const int error = vmm.OpenMetrics(arguments_.Get("metrics-path")); error != 0) {
        log_->Error(
            kMain,
            "Could not initialize metrics: Cannot initialize the metrics system due to bad user input: " +
                OsError(error));
        return Leave(1);
      }
    }
    if (const char* text = getenv(kGuestVariable); text != nullptr) {
      Shell shell;
      if (TakeOver(text, &shell)) vmm.UseShell(std::move(shell));
    }
    ApiServer api(&loop, &vmm, &faults_, limit);
    const std::string socket = arguments_.Get("api-sock");
    if (const int error = api.Listen(socket); error == EADDRINUSE) {
      log_->Error(kMain, "RunWithApiError error: Failed to open the API socket at: " + socket +
                             ". Check that it is not already used.");
      return Leave(1);
    } else if (error != 0) {
      log_->Error(kMain, "RunWithApiError error: Failed to bind and run the HTTP server: IO error: " +
                             OsError(error));
      return Leave(1);
    }
    log_->Info(kMain, "Listening on API socket (" + Quoted(socket) + ").");
    log_->Info("fc_api", "API server started.");
    WatchChildren(&loop, &vmm);
    for (;;) loop.Turn();
  }

  // They also say what release this process poses as, so they are read first.
  int ReadRules() {
    const std::string rules = FaultRules();
    std::string problem;
    if (!rules.empty() && !faults_.Read(rules, &problem)) {
      fprintf(stderr, "fake-firecracker: fault rules: %s\n", problem.c_str());
      return Leave(kUnsupportedHere);
    }
    const auto rule = faults_.Next("release");
    if (!rule || PoseAs(rule->message)) return 0;
    fprintf(stderr, "fake-firecracker: no release \"%s\" is known here\n", rule->message.c_str());
    return Leave(kUnsupportedHere);
  }

  void WatchChildren(Loop* loop, Vmm* vmm) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    children_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    const auto reap = [this, vmm](uint32_t) {
      signalfd_siginfo info;
      while (read(children_.Get(), &info, sizeof(info)) > 0) {
      }
      int status = 0;
      while (waitpid(-1, &status, WNOHANG) > 0) vmm->OnChildEnd(status);
    };
    loop->Add(children_.Get(), EPOLLIN, reap);
    reap(0);  // those that ended before
  }

  const Arguments& arguments_;
  Logger* log_;
  Faults faults_;
  UniqueFd children_;
};

int Main(int argc, char** argv) {
  RememberArguments(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
  // As the real one does, so that a reader that does not read cannot hold the VMM.
  fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
  Arguments arguments = FirecrackerArguments();
  const bool parsed = arguments.Parse(argc, argv);
  // What only prints something does not look at the id.
  bool only_prints = !parsed;
  for (const char* option : {"version", "help", "snapshot-version", "describe-snapshot"})
    only_prints = only_prints || arguments.Has(option);
  Logger log(only_prints ? "anonymous-instance" : arguments.Get("id"));
  if (!parsed) {
    log.Error(kMain,
              "Arguments parsing error: " + arguments.message() + " \\n\\nFor more information try --help.");
    fprintf(stderr, "Error: ParseArguments(%s)\n", arguments.debug().c_str());
    log.Error(kMain, "Firecracker exiting with error. exit_code=" + std::to_string(kArgumentError));
    return kArgumentError;
  }
  std::string debug;
  if (const std::string problem = CheckVmId(arguments.Get("id"), &debug); !only_prints && !problem.empty()) {
    Logger("anonymous-instance").Error(kMain, "Firecracker panicked: Invalid instance ID: " + debug);
    return kRustPanic;
  }
  return Program(arguments, &log).Run();
}

}  // namespace
}  // namespace microvm::fake

int main(int argc, char** argv) { return microvm::fake::Main(argc, argv); }
