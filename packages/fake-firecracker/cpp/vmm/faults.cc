#include "vmm/faults.h"

namespace microvm::fake {
namespace {

const std::vector<const char*> kActs = {
    "answer",         // status and message, without doing anything
    "hang",           // serve nobody any more, for ever
    "delay",          // by ms, then go on
    "exit",           // end with code before anything is done
    "exit-after",     // end with code after it was done, before the answer
    "signal",         // end by signal before anything is done
    "disk-full",      // of a dump: half of it, then no space left
    "console-flood",  // write bytes to the console
    "panic",          // the guest panics with message
    "silent-agent",   // of guest-up: nobody listens in the guest
    "pose",           // of release: as the release that message names
    // hostile.cc: answers
    "endless",    // a body without end
    "rant",       // a refusal of message and so many bytes more
    "drip",       // a header without end, a byte each ms
    "too-long",   // announces 100 bytes more than message has
    "too-short",  // announces one byte, says message
    "say",        // status and message as the body
    "cut",        // half an answer, then the end with code
    // hostile.cc: path, after the request was done and before its answer
    "grow",    // has so many bytes, none of them written
    "fill",    // gets so many bytes more
    "link",    // is a symbolic link to message
    "fifo",    // is a pipe that nobody serves
    "socket",  // is a socket that nobody serves
    "folder",  // is a folder
};

bool ReadRule(Reader* in, FaultRule* rule) {
  const auto number = [](uint64_t* out) {
    return [out](Reader* each) { return each->Unsigned(UINT64_MAX, "u64", out); };
  };
  const auto text = [](std::string* out) { return [out](Reader* each) { return each->Text(out); }; };
  const auto act = [rule](Reader* each) {
    size_t index = 0;
    if (!each->Enum(kActs, &index)) return false;
    rule->act = kActs[index];
    return true;
  };
  return in->Object({"FaultRule",
                     {{"on", true, text(&rule->on)},
                      {"do", true, act},
                      {"skip", false, number(&rule->skip)},
                      {"times", false, number(&rule->times)},
                      {"ms", false, number(&rule->ms)},
                      {"code", false, number(&rule->code)},
                      {"signal", false, number(&rule->signal)},
                      {"status", false, number(&rule->status)},
                      {"bytes", false, number(&rule->bytes)},
                      {"path", false, text(&rule->path)},
                      {"message", false, text(&rule->message)}}});
}

}  // namespace

bool Faults::Read(const std::string& json, std::string* problem) {
  Reader in(json);
  std::vector<FaultRule> rules;
  const bool read = in.List([&rules](Reader* each) {
    rules.emplace_back();
    return ReadRule(each, &rules.back());
  });
  if (!read || !in.End()) {
    *problem = in.error();
    return false;
  }
  rules_ = std::move(rules);
  return true;
}

std::optional<FaultRule> Faults::Next(const std::string& occurrence) {
  std::optional<FaultRule> found;
  const bool is_request = occurrence.find(' ') != std::string::npos;
  for (FaultRule& rule : rules_) {
    if (rule.on != occurrence && !(is_request && rule.on == "request")) continue;
    rule.seen++;
    const bool applies = rule.seen > rule.skip && (rule.times == 0 || rule.seen <= rule.skip + rule.times);
    if (applies && !found) found = rule;
  }
  return found;
}

}  // namespace microvm::fake
