#include "core/image/decompressor.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <climits>

#include "core/image/packed_input.h"

namespace microvm::core::image {
namespace {

// Enough for each preset of xz and for what zstd unpacks without being asked for more (a window of 128 MiB).
constexpr uint64_t kXzMemory = uint64_t{128} << 20;
constexpr int kZstdWindowLog = 27;

ImageStatus Truncated() { return ImageStatus::Invalid("the compressed data ends in its middle"); }
ImageStatus Broken(const char* format, const std::string& what) {
  return ImageStatus::Invalid(std::string("broken ") + format + " data: " + what);
}

// SAFETY of the casts below: bytes are bytes; the libraries read them within the call only.

// What was unpacked before broken data comes out before the fault does, however the packed bytes were cut.
class Decoder : public ByteSource {
 public:
  ImageStatus Read(char* buffer, size_t capacity, size_t* got) final {
    *got = 0;
    if (!failed_.Ok()) return failed_;
    auto decoded = Decode(buffer, capacity, got);
    if (decoded.Ok() || *got == 0) return decoded;
    failed_ = std::move(decoded);
    return {};
  }

 protected:
  // As ByteSource::Read; a failure may come with bytes.
  virtual ImageStatus Decode(char* buffer, size_t capacity, size_t* got) = 0;

 private:
  ImageStatus failed_;
};

class Gzip final : public Decoder {
 public:
  explicit Gzip(ByteSource* packed) : input_(packed) {}
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip() override { inflateEnd(&stream_); }
  bool Begin() { return inflateInit2(&stream_, MAX_WBITS + kOnlyGzip) == Z_OK; }

  ImageStatus Decode(char* buffer, size_t capacity, size_t* got) override {
    while (*got == 0) {
      auto filled = input_.Fill();
      if (!filled.Ok()) return filled;
      if (input_.HasEnded()) return is_between_ && has_member_ ? ImageStatus() : Truncated();
      if (is_between_ && has_member_ && input_.Bytes()[0] == 0) is_padding_ = true;
      if (is_padding_) {
        auto skipped = SkipPadding();
        if (!skipped.Ok()) return skipped;
        continue;
      }
      auto inflated = Inflate(buffer, capacity, got);
      if (!inflated.Ok()) return inflated;
    }
    return {};
  }

 private:
  static constexpr int kOnlyGzip = 16;

  ImageStatus SkipPadding() {
    for (size_t i = 0; i < input_.Size(); ++i) {
      if (input_.Bytes()[i] != 0) return Broken("gzip", "there are other bytes after its end");
    }
    input_.Take(input_.Size());
    return {};
  }

  ImageStatus Inflate(char* buffer, size_t capacity, size_t* got) {
    if (is_between_ && has_member_) inflateReset(&stream_);
    is_between_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input_.Bytes()));
    stream_.avail_in = static_cast<uInt>(input_.Size());
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(capacity, UINT_MAX));
    const uInt offered = stream_.avail_out;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    input_.Take(input_.Size() - stream_.avail_in);
    *got = offered - stream_.avail_out;
    if (code == Z_STREAM_END) is_between_ = has_member_ = true;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return {};
    if (code == Z_MEM_ERROR) return SysError{ENOMEM, "inflate", {}};
    return Broken("gzip", stream_.msg != nullptr ? stream_.msg : "it asks for a dictionary");
  }

  PackedInput input_;
  z_stream stream_{};
  // Between two members, and whether one has ended.
  bool is_between_ = true;
  bool has_member_ = false;
  bool is_padding_ = false;
};

class Zstd final : public Decoder {
 public:
  explicit Zstd(ByteSource* packed) : input_(packed), context_(ZSTD_createDCtx()) {}
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  ~Zstd() override { ZSTD_freeDCtx(context_); }
  bool Begin() {
    return context_ != nullptr &&
           ZSTD_isError(ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kZstdWindowLog)) == 0;
  }

  ImageStatus Decode(char* buffer, size_t capacity, size_t* got) override {
    while (*got == 0) {
      auto filled = input_.Fill();
      if (!filled.Ok()) return filled;
      // What is left inside of the decoder comes out before the end is looked at.
      if (input_.HasEnded() && !may_have_more_) {
        return is_frame_whole_ && has_frame_ ? ImageStatus() : Truncated();
      }
      ZSTD_inBuffer in{input_.Bytes(), input_.Size(), 0};
      ZSTD_outBuffer out{buffer, capacity, 0};
      const size_t code = ZSTD_decompressStream(context_, &out, &in);
      *got = out.pos;
      if (ZSTD_isError(code) != 0) return Broken("zstd", ZSTD_getErrorName(code));
      input_.Take(in.pos);
      if (in.pos > 0 || out.pos > 0) is_frame_whole_ = code == 0;
      has_frame_ = has_frame_ || in.pos > 0;
      may_have_more_ = out.pos == capacity;
    }
    return {};
  }

 private:
  PackedInput input_;
  ZSTD_DCtx* context_;
  bool is_frame_whole_ = false;
  bool has_frame_ = false;
  bool may_have_more_ = false;
};

class Xz final : public Decoder {
 public:
  explicit Xz(ByteSource* packed) : input_(packed) {}
  Xz(const Xz&) = delete;
  Xz& operator=(const Xz&) = delete;
  ~Xz() override { lzma_end(&stream_); }
  bool Begin() { return lzma_stream_decoder(&stream_, kXzMemory, LZMA_CONCATENATED) == LZMA_OK; }

  ImageStatus Decode(char* buffer, size_t capacity, size_t* got) override {
    while (*got == 0 && !has_ended_) {
      auto filled = input_.Fill();
      if (!filled.Ok()) return filled;
      stream_.next_in = reinterpret_cast<const uint8_t*>(input_.Bytes());
      stream_.avail_in = input_.Size();
      stream_.next_out = reinterpret_cast<uint8_t*>(buffer);
      stream_.avail_out = capacity;
      const lzma_ret code = lzma_code(&stream_, input_.HasEnded() ? LZMA_FINISH : LZMA_RUN);
      input_.Take(input_.Size() - stream_.avail_in);
      *got = capacity - stream_.avail_out;
      has_ended_ = code == LZMA_STREAM_END;
      if (code != LZMA_OK && code != LZMA_STREAM_END) return Fault(code);
    }
    return {};
  }

 private:
  static ImageStatus Fault(lzma_ret code) {
    switch (code) {
      case LZMA_BUF_ERROR:
        return Truncated();
      case LZMA_MEM_ERROR:
        return SysError{ENOMEM, "lzma_code", {}};
      case LZMA_MEMLIMIT_ERROR:
        return Broken("xz", "it needs more than " + std::to_string(kXzMemory >> 20) + " MiB to unpack");
      case LZMA_FORMAT_ERROR:
        return Broken("xz", "it does not begin as xz does");
      case LZMA_OPTIONS_ERROR:
        return Broken("xz", "it uses an unknown filter or check");
      default:
        return Broken("xz", "its checks do not match");
    }
  }

  PackedInput input_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool has_ended_ = false;
};

class Plain final : public ByteSource {
 public:
  explicit Plain(ByteSource* packed) : packed_(packed) {}
  ImageStatus Read(char* buffer, size_t capacity, size_t* got) override {
    return packed_->Read(buffer, capacity, got);
  }

 private:
  ByteSource* packed_;
};

template <typename Decoder>
std::unique_ptr<ByteSource> Begun(ByteSource* packed) {
  auto decoder = std::make_unique<Decoder>(packed);
  if (!decoder->Begin()) return nullptr;
  return decoder;
}

}  // namespace

std::unique_ptr<ByteSource> MakeDecompressor(Compression compression, ByteSource* packed) {
  switch (compression) {
    case Compression::kGzip:
      return Begun<Gzip>(packed);
    case Compression::kZstd:
      return Begun<Zstd>(packed);
    case Compression::kXz:
      return Begun<Xz>(packed);
    case Compression::kNone:
      break;
  }
  return std::make_unique<Plain>(packed);
}

}  // namespace microvm::core::image
