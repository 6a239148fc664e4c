#include "vmm/vmm.h"

#include <cctype>

#include "vmm/version.h"

namespace microvm::fake {
namespace {

constexpr uint64_t kU16 = 0xFFFF;
constexpr uint64_t kU32 = 0xFFFFFFFF;
constexpr const char* kApi = "fc_api";

// The parts of the path; slashes at its beginning do not count.
std::vector<std::string> PathOf(std::string uri) {
  constexpr std::string_view kScheme = "http://";
  if (uri.compare(0, kScheme.size(), kScheme) == 0) {
    const size_t slash = uri.find('/', kScheme.size());
    uri = slash == std::string::npos ? "" : uri.substr(slash);
  }
  uri.erase(0, uri.find_first_not_of('/') == std::string::npos ? uri.size() : uri.find_first_not_of('/'));
  std::vector<std::string> parts;
  for (size_t at = 0; at <= uri.size();) {
    const size_t end = std::min(uri.find('/', at), uri.size());
    parts.push_back(uri.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

const char* Name(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kPut:
      return "PUT";
    case Method::kPatch:
      return "PATCH";
    case Method::kDelete:
      return "DELETE";
  }
  return "";
}

std::string Titled(Method method) {
  std::string name = Name(method);
  for (size_t i = 1; i < name.size(); i++) name[i] = static_cast<char>(std::tolower(name[i]));
  return name;
}

Response UnknownPath(Method method, const std::string& path) {
  return Fault(std::string("Invalid request method and/or path: ") + Name(method) + " " + path + ".");
}

// Parses a body and acts on it.
template <typename T, typename Read, typename Act>
Response With(const std::string& body, Read read, Act act) {
  Reader in(body);
  T value{};
  if (!read(&in, &value) || !in.End())
    return Fault("An error occurred when deserializing the json body of a request: " + in.error() + ".");
  return act(value);
}

// The id in the path, checked before the body is.
std::string CheckId(const std::vector<std::string>& path) {
  if (path.size() < 2 || path[1].empty()) return "The ID cannot be empty.";
  for (const char byte : path[1]) {
    if (std::isalnum(static_cast<unsigned char>(byte)) == 0 && byte != '_')
      return "API Resource IDs can only contain alphanumeric characters and underscores.";
  }
  return "";
}

constexpr const char* kOtherId = "The id from the path does not match the id from the body!";

std::string OtherNicId(const std::string& in_path, const std::string& in_body) {
  return "The id from the path [" + in_path + "] does not match the id from the body [" + in_body + "]!";
}

std::string Part(const std::vector<std::string>& path, size_t index) {
  return index < path.size() ? path[index] : "";
}

bool ReadAnything(Reader* in, Value* value) { return in->Any(value); }

}  // namespace

Response NoContent() { return {}; }
Response Json(const Value& value) { return {200, value.Write(), std::nullopt}; }
Response Fault(const std::string& message) {
  return {400, "{\"fault_message\":" + Quoted(message) + "}", std::nullopt};
}
Response NotBeforeBoot() {
  return Fault("The requested operation is not supported before starting the microVM.");
}
Response NotAfterBoot() {
  return Fault("The requested operation is not supported after starting the microVM.");
}

Response Vmm::BeforeBoot(const std::function<Response()>& act) {
  return state_ == State::kNotStarted ? act() : NotAfterBoot();
}

Response Vmm::AfterBoot(const std::function<Response()>& act) {
  return state_ == State::kNotStarted ? NotBeforeBoot() : act();
}

Response Vmm::Handle(const Request& request) {
  std::string received =
      "The API server received a " + Titled(request.method) + " request on " + Quoted(request.uri);
  if (request.body) received += " with body " + Quoted(*request.body);
  log_->Info(kApi, received + ".");
  Response response = Route(request);
  if (response.status == 400) {
    const std::string& body = *response.body;
    constexpr size_t kFrame = sizeof("{\"fault_message\":\"") - 1;
    log_->Error(kApi, "Received Error. Status code: 400 Bad Request. Message: " +
                          body.substr(kFrame, body.size() - kFrame - 2));
  } else {
    log_->Info(kApi, std::string("The request was executed successfully. Status code: ") +
                         (response.status == 200 ? "200 OK." : "204 No Content."));
  }
  return response;
}

Response Vmm::Route(const Request& request) {
  const std::vector<std::string> path = PathOf(request.uri);
  switch (request.method) {
    case Method::kGet:
      if (request.body) return Fault("GET request cannot have a body.");
      return Get(path);
    case Method::kPut:
      if (!request.body) return Fault("Empty PUT request.");
      return Put(path, *request.body);
    case Method::kPatch:
      if (!request.body) return Fault("Empty PATCH request.");
      return Patch(path, *request.body);
    case Method::kDelete:
      if (request.body) return Fault("Empty Delete request.");
      if (path[0] == "drives" || path[0] == "network-interfaces" || path[0] == "pmem") {
        const std::string problem = CheckId(path);
        if (!problem.empty()) return Fault(problem);
        return AfterBoot([] { return Fault("PCI is not enabled"); });
      }
      return UnknownPath(Method::kDelete, path[0]);
  }
  return UnknownPath(request.method, path[0]);
}

Response Vmm::Get(const std::vector<std::string>& path) {
  const std::string& first = path[0];
  const auto balloon = [this](const char* error, const std::function<Response()>& act) {
    return config_.balloon ? act() : Fault(error);
  };
  constexpr const char* kNoBalloon = "Internal VMM error: Failed perform action on device: Device not found";
  if (first.empty()) {
    metrics_.Add("get_api_requests.instance_info_count");
    const char* state = state_ == State::kNotStarted ? "Not started"
                        : state_ == State::kRunning  ? "Running"
                                                     : "Paused";
    return Json(Value::Object({{"id", Value::Text(id_)},
                               {"state", Value::Text(state)},
                               {"vmm_version", Value::Text(ThisRelease().version)},
                               {"app_name", Value::Text("Firecracker")}}));
  }
  if (first == "version") {
    metrics_.Add("get_api_requests.vmm_version_count");
    return Json(Value::Object({{"firecracker_version", Value::Text(ThisRelease().version)}}));
  }
  if (first == "machine-config") {
    metrics_.Add("get_api_requests.machine_cfg_count");
    return Json(MachineJson(config_.machine));
  }
  if (first == "vm" && Part(path, 1) == "config") {
    Value json = VmConfigJson(config_);
    return Json(json);
  }
  if (first == "mmds") {
    metrics_.Add("get_api_requests.mmds_count");
    if (has_mmds_) return Json(mmds_);
    return state_ == State::kNotStarted ? Json(Value())
                                        : Fault("MMDS error: The MMDS data store is not initialized.");
  }
  if (first == "balloon" && path.size() == 1) {
    return balloon(
        state_ == State::kNotStarted ? "Balloon config error: No balloon device found." : kNoBalloon,
        [this] { return Json(BalloonJson(*config_.balloon)); });
  }
  if (first == "balloon" && Part(path, 1) == "statistics") {
    return AfterBoot([&] {
      return balloon(kNoBalloon, [this] {
        if (config_.balloon->stats_polling_interval_s == 0)
          return Fault("Internal VMM error: Balloon: Statistics for the balloon device are not enabled");
        return Json(Value::Object({{"target_pages", Value::Number(config_.balloon->amount_mib * 256)},
                                   {"actual_pages", Value::Number(0)},
                                   {"target_mib", Value::Number(config_.balloon->amount_mib)},
                                   {"actual_mib", Value::Number(0)}}));
      });
    });
  }
  if (first == "balloon") {
    if (Part(path, 1) == "hinting" && Part(path, 2) == "status")
      return AfterBoot(
          [] { return Fault("Balloon update error: Failed perform action on device: Device not found"); });
    return Fault("Unrecognized GET request path `/" + Part(path, 1) + (path.size() > 2 ? "/" + path[2] : "") +
                 "`.");
  }
  if (first == "hotplug" && Part(path, 1) == "memory") {
    metrics_.Add("get_api_requests.hotplug_memory_count");
    return AfterBoot([&] { return Fault(kNoBalloon); });
  }
  return UnknownPath(Method::kGet, first);
}

Response Vmm::Put(const std::vector<std::string>& path, const std::string& body) {
  const std::string& first = path[0];
  const auto put = [&](const char* metric, Response response) {
    if (metric != nullptr) {
      const std::string name = std::string("put_api_requests.") + metric;
      metrics_.Add(name + "_count");
      if (response.status == 400) metrics_.Add(name + "_fails");
    }
    return response;
  };
  if (first == "drives" || first == "network-interfaces" || first == "pmem") {
    if (const std::string problem = CheckId(path); !problem.empty()) return Fault(problem);
  }
  if (first == "actions") {
    return put("actions", With<size_t>(body, ReadAction, [&](size_t action) {
                 if (action == 1) return BeforeBoot([this] { return Start(); });
                 return AfterBoot([&] {
                   if (action == 2) return CtrlAltDel();
                   FlushMetrics();
                   return NoContent();
                 });
               }));
  }
  if (first == "machine-config")
    return put("machine_cfg",
               With<MachineConfig>(body, ReadMachineConfig, [this](const MachineConfig& config) {
                 return BeforeBoot([&] { return PutMachineConfig(config); });
               }));
  if (first == "boot-source")
    return put("boot_source", With<BootSource>(body, ReadBootSource, [this](const BootSource& source) {
                 return BeforeBoot([&] { return PutBootSource(source); });
               }));
  if (first == "drives")
    return put("drive", With<Drive>(body, ReadDrive, [&](const Drive& drive) {
                 return drive.drive_id == path[1] ? PutDrive(drive) : Fault(kOtherId);
               }));
  if (first == "network-interfaces")
    return put("network",
               With<NetworkInterface>(body, ReadNetworkInterface, [&](const NetworkInterface& nic) {
                 return nic.iface_id == path[1] ? PutNetworkInterface(nic)
                                                : Fault(OtherNicId(path[1], nic.iface_id));
               }));
  if (first == "vsock")
    return put("vsock", With<Vsock>(body, ReadVsock, [this](const Vsock& vsock) {
                 return BeforeBoot([&] { return PutVsock(vsock); });
               }));
  if (first == "balloon")
    return put(nullptr, With<Balloon>(body, ReadBalloon, [this](const Balloon& balloon) {
                 return BeforeBoot([&] { return PutBalloon(balloon); });
               }));
  if (first == "entropy")
    return put(nullptr, With<Entropy>(body, ReadEntropy, [this](const Entropy& entropy) {
                 return BeforeBoot([&] {
                   boot_specific_ = true;
                   config_.entropy = entropy;
                   return NoContent();
                 });
               }));
  if (first == "logger")
    return put("logger", With<LoggerConfig>(body, ReadLogger, [this](const LoggerConfig& config) {
                 return BeforeBoot([&] { return PutLogger(config); });
               }));
  if (first == "metrics")
    return put("metrics", With<std::string>(body, ReadMetrics, [this](const std::string& file) {
                 return BeforeBoot([&] { return PutMetrics(file); });
               }));
  if (first == "serial")
    return put("serial", With<SerialConfig>(body, ReadSerial, [this](const SerialConfig& config) {
                 return BeforeBoot([&] { return PutSerial(config); });
               }));
  if (first == "cpu-config")
    return put("cpu_cfg", With<Value>(
                              body, [](Reader* in, Value*) { return ReadCpuConfig(in); },
                              [this](const Value&) { return BeforeBoot([] { return NoContent(); }); }));
  if (first == "mmds" && path.size() == 1)
    return put("mmds",
               With<Value>(body, ReadAnything, [this](const Value& data) { return PutMmds(data, false); }));
  if (first == "mmds" && path[1] == "config")
    return put("mmds", With<MmdsConfig>(body, ReadMmdsConfig, [this](const MmdsConfig& config) {
                 return BeforeBoot([&] { return PutMmdsConfig(config); });
               }));
  if (first == "mmds") return Fault("Unrecognized PUT request path `" + path[1] + "`.");
  if (first == "pmem")
    return put("pmem", With<Pmem>(body, ReadPmem, [&](const Pmem& pmem) {
                 return pmem.id == path[1] ? PutPmem(pmem) : Fault(kOtherId);
               }));
  if (first == "hotplug" && Part(path, 1) == "memory")
    return put("hotplug_memory",
               With<MemoryHotplug>(body, ReadMemoryHotplug, [this](const MemoryHotplug& config) {
                 return BeforeBoot([&] { return PutMemoryHotplug(config); });
               }));
  if (first == "snapshot" && path.size() == 1) return Fault("Missing snapshot operation type.");
  if (first == "snapshot" && path[1] == "create")
    return With<SnapshotCreate>(body, ReadSnapshotCreate, [this](const SnapshotCreate& request) {
      return AfterBoot([&] { return CreateSnapshot(request); });
    });
  if (first == "snapshot" && path[1] == "load")
    return With<SnapshotLoad>(body, ReadSnapshotLoad, [this](const SnapshotLoad& request) {
      constexpr const char* kIn = "An error occurred when deserializing the json body of a request: ";
      if (!request.backend_type && !request.mem_file_path)
        return Fault(std::string(kIn) +
                     "missing field: either `mem_backend` or `mem_file_path` is required.");
      if (request.backend_type && request.mem_file_path)
        return Fault(std::string(kIn) +
                     "too many fields: either `mem_backend` or `mem_file_path` exclusively is required.");
      return BeforeBoot([&] { return LoadSnapshot(request); });
    });
  if (first == "snapshot") return UnknownPath(Method::kPut, "/snapshot/" + path[1]);
  return UnknownPath(Method::kPut, first);
}

Response Vmm::Patch(const std::vector<std::string>& path, const std::string& body) {
  const std::string& first = path[0];
  if (first == "drives" || first == "network-interfaces" || first == "pmem") {
    if (const std::string problem = CheckId(path); !problem.empty()) return Fault(problem);
  }
  if (first == "vm")
    return With<size_t>(body, ReadVmState,
                        [this](size_t state) { return AfterBoot([&] { return SetPaused(state == 0); }); });
  if (first == "machine-config")
    return With<MachineUpdate>(body, ReadMachineUpdate, [this](const MachineUpdate& update) {
      const bool is_empty = !update.vcpu_count && !update.mem_size_mib && !update.smt &&
                            !update.cpu_template && !update.track_dirty_pages && !update.huge_pages;
      if (is_empty) return Fault("Empty PATCH request.");
      return BeforeBoot([&] { return PatchMachineConfig(update); });
    });
  if (first == "drives")
    return With<DriveUpdate>(body, ReadDriveUpdate, [&](const DriveUpdate& update) {
      if (update.drive_id != path[1]) return Fault(kOtherId);
      return AfterBoot([&] { return PatchDrive(update); });
    });
  if (first == "network-interfaces")
    return With<NetworkInterface>(body, ReadNetworkUpdate, [&](const NetworkInterface& update) {
      if (update.iface_id != path[1]) return Fault(OtherNicId(path[1], update.iface_id));
      return AfterBoot([&] { return PatchNetworkInterface(update); });
    });
  if (first == "balloon" && Part(path, 1) == "statistics")
    return With<uint64_t>(
        body,
        [](Reader* in, uint64_t* value) {
          return ReadOneNumber(in, "BalloonUpdateStatsConfig", "stats_polling_interval_s", kU16, value);
        },
        [this](uint64_t interval) {
          return AfterBoot([&] { return PatchBalloon(std::nullopt, interval); });
        });
  if (first == "balloon" && path.size() == 1)
    return With<uint64_t>(
        body,
        [](Reader* in, uint64_t* value) {
          return ReadOneNumber(in, "BalloonUpdateConfig", "amount_mib", kU32, value);
        },
        [this](uint64_t amount) { return AfterBoot([&] { return PatchBalloon(amount, std::nullopt); }); });
  if (first == "balloon" && path[1] == "hinting" && (Part(path, 2) == "start" || Part(path, 2) == "stop"))
    return AfterBoot(
        [] { return Fault("Balloon update error: Failed perform action on device: Device not found"); });
  if (first == "balloon")
    return Fault("Unrecognized PATCH request path `/" + path[1] + (path.size() > 2 ? "/" + path[2] : "") +
                 "`.");
  if (first == "mmds")
    return With<Value>(body, ReadAnything, [this](const Value& data) { return PutMmds(data, true); });
  if (first == "pmem")
    return With<Pmem>(body, ReadPmemUpdate, [&](const Pmem& update) {
      if (update.id != path[1]) return Fault(kOtherId);
      return AfterBoot([] { return NoContent(); });
    });
  if (first == "hotplug" && Part(path, 1) == "memory")
    return With<uint64_t>(
        body,
        [](Reader* in, uint64_t* value) {
          return ReadOneNumber(in, "MemoryHotplugSizeUpdate", "requested_size_mib", UINT64_MAX, value);
        },
        [this](uint64_t) {
          return AfterBoot([] {
            return Fault("Memory hotplug update error: Failed perform action on device: Device not found");
          });
        });
  return UnknownPath(Method::kPatch, first);
}

}  // namespace microvm::fake
