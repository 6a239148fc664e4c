#include "stream_table.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace microvm::agent {
namespace {

// Detached ones count too: each holds descriptors.
constexpr size_t kMaxHandlers = 1024;

}  // namespace

uint32_t StreamHandler::events(uint8_t part) const { return part == 0 ? EPOLLOUT : EPOLLIN; }

int StreamTable::CheckRoom() const { return handlers_.size() >= kMaxHandlers ? EAGAIN : CheckAttach(); }

int StreamTable::CheckAttach() const { return by_stream_.size() >= kMaxStreams ? EAGAIN : 0; }

uint32_t StreamTable::Add(std::unique_ptr<StreamHandler> handler) {
  const uint32_t id = ++last_id_;
  for (uint8_t part = 0; part < StreamHandler::kMostParts; part++) {
    const int fd = handler->fd(part);
    if (fd >= 0 && !poller_->Add(fd, handler->events(part), Tag{Tag::Kind::kStream, part, id})) return 0;
  }
  by_stream_.emplace(handler->stream().id(), id);
  handlers_.emplace(id, std::move(handler));
  return id;
}

StreamHandler* StreamTable::ByStream(uint32_t stream) {
  const auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : handlers_.at(found->second).get();
}

void StreamTable::OnEvent(const Tag& tag, uint32_t events) {
  const auto found = handlers_.find(tag.id);
  if (found != handlers_.end()) found->second->OnReady(tag.part, events);
}

void StreamTable::LoseAll(StreamHandler::Loss loss) {
  for (auto& [id, handler] : handlers_) handler->Lose(loss);
  by_stream_.clear();
}

bool StreamTable::Pump() {
  bool more = false;
  for (auto it = handlers_.begin(); it != handlers_.end();) {
    StreamHandler& handler = *it->second;
    more = handler.Pump() || more;
    if (!handler.stream().attached()) {
      const auto stream = by_stream_.find(handler.stream().id());
      if (stream != by_stream_.end() && stream->second == it->first) by_stream_.erase(stream);
    }
    if (!handler.Gone()) {
      ++it;
      continue;
    }
    on_gone_(it->first);
    it = handlers_.erase(it);
  }
  return more;
}

uint64_t StreamTable::deadline() const {
  uint64_t nearest = UINT64_MAX;
  for (const auto& [id, handler] : handlers_) nearest = std::min(nearest, handler->deadline());
  return nearest;
}

}  // namespace microvm::agent
