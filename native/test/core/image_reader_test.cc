#include <algorithm>
#include <cstring>

#include "check.h"
#include "core/image/entry_path.h"
#include "core/image/pax_records.h"
#include "core/image/sparse_map.h"
#include "core/image/tar_number.h"
#include "core/image/tar_reader.h"
#include "pieces.h"

using namespace microvm::core::image;

namespace {

std::string Octal(uint64_t value, size_t digits) {
  std::string text(digits, '0');
  for (size_t i = digits; i-- > 0; value >>= 3) text[i] = static_cast<char>('0' + (value & 7));
  return text;
}

std::string EntryOf(char type, const std::string& name, const std::string& data) {
  std::string block(kTarBlock, '\0');
  block.replace(0, name.size(), name);
  block.replace(100, 7, "0000640");
  block.replace(124, 11, Octal(data.size(), 11));
  block[156] = type;
  block.replace(257, 8,
                std::string("ustar\0"
                            "00",
                            8));
  block.replace(148, 8, "        ");
  uint64_t sum = 0;
  for (const char byte : block) sum += static_cast<unsigned char>(byte);
  block.replace(148, 6, Octal(sum, 6));
  return block + data + std::string(PaddingOf(data.size()), '\0');
}

std::string Archive() {
  std::string records;
  AppendPaxRecord("path", "the/long/name", &records);
  AppendPaxRecord("SCHILY.xattr.user.a", std::string("\x80\0=\n", 4), &records);
  return EntryOf('5', "dir/", "") + EntryOf('x', "pax", records) +
         EntryOf('0', "short", std::string(700, 'd')) + EntryOf('0', "last", "end") +
         std::string(2 * kTarBlock, '\0');
}

// The names and contents, then the reason of a fault.
std::string ReadAll(ByteSource* source) {
  TarReader reader(source, ImageLimits());
  std::string all;
  for (;;) {
    Entry entry;
    bool is_there = false;
    auto read = reader.Next(&entry, &is_there);
    if (!read.Ok()) return all + "!" + (read.Fault() != nullptr ? read.Fault()->reason : "system");
    if (!is_there) return all;
    all += entry.path + ":";
    char buffer[100];
    for (size_t got = 1; got > 0;) {
      read = reader.ReadContent(buffer, sizeof buffer, &got);
      if (!read.Ok()) return all + "!" + (read.Fault() != nullptr ? read.Fault()->reason : "system");
      all.append(buffer, got);
    }
  }
}

}  // namespace

TEST(numbers_of_headers_are_octal_or_binary) {
  CHECK(ParseTarNumber(std::string_view("0000644\0", 8)) == 0644);
  CHECK(ParseTarNumber("     17 ") == 017);
  CHECK(ParseTarNumber(std::string_view("17\0junk", 7)) == 017);
  CHECK(ParseTarNumber(std::string_view("\0\0\0\0", 4)) == 0);
  CHECK(ParseTarNumber("        ") == 0);
  CHECK(ParseTarNumber("77777777777") == 077777777777);
  CHECK(ParseTarNumber(std::string_view("\x80\0\0\0\0\0\1\2", 8)) == 258);
  CHECK(ParseTarNumber(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xfe", 8)) == -2);
  CHECK(ParseTarNumber(std::string_view("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)) == INT64_MAX);
  CHECK(!ParseTarNumber(std::string_view("\x80\0\0\0\x80\0\0\0\0\0\0\0", 12)));
  CHECK(!ParseTarNumber(std::string_view("\x80\1\0\0\0\0\0\0\0\0\0\0", 12)));
  CHECK(!ParseTarNumber("18") && !ParseTarNumber("1 7") && !ParseTarNumber("-7") && !ParseTarNumber("0x7"));
  CHECK(!ParseTarNumber("777777777777777777777777"));
}

TEST(decimals_and_times_have_no_more_than_their_digits) {
  CHECK(ParseDecimal("18446744073709551615") == UINT64_MAX);
  CHECK(!ParseDecimal("18446744073709551616") && !ParseDecimal("") && !ParseDecimal("+1") &&
        !ParseDecimal("1 "));
  CHECK(ParsePaxTime("1.999999999") == 1 && ParsePaxTime("-1.5") == -2 && ParsePaxTime("-1.000") == -1);
  CHECK(ParsePaxTime("0") == 0 && ParsePaxTime("7.") == 7);
  CHECK(!ParsePaxTime("") && !ParsePaxTime("-") && !ParsePaxTime("1.x") && !ParsePaxTime("1.-1"));
  CHECK(!ParsePaxTime("9223372036854775808") && !ParsePaxTime(".5"));
}

TEST(a_pax_record_counts_the_digits_of_its_length) {
  // Around each power of ten the length gets a digit more.
  for (size_t size = 0; size < 11'000; size += size < 200 ? 1 : 89) {
    const std::string value(size, 'v');
    std::string bytes;
    AppendPaxRecord("key", value, &bytes);
    AppendPaxRecord("next", "", &bytes);
    std::vector<PaxRecord> records;
    CHECK(ParsePaxRecords(bytes, &records).Ok());
    CHECK(records.size() == 2 && records[0] == PaxRecord("key", value) &&
          records[1] == PaxRecord("next", ""));
  }
}

TEST(a_pax_record_is_as_long_as_it_says) {
  for (const char* wrong :
       {"1 k=v\n", "2 k=v\n", "3 k=v\n", "5 k=v\n", "7 k=v\n", "6 k=v", "06", " k=v\n", "6", "6 "}) {
    std::vector<PaxRecord> records;
    CHECK(!ParsePaxRecords(wrong, &records).Ok());
  }
  std::vector<PaxRecord> records;
  CHECK(ParsePaxRecords("6 k=v\n", &records).Ok() && records.size() == 1);
}

TEST(a_name_is_cut_into_its_components) {
  ImageLimits limits;
  std::vector<std::string_view> components;
  CHECK(SplitEntryPath("//./a//b/./c/", limits, &components).Ok());
  CHECK(components == std::vector<std::string_view>({"a", "b", "c"}));
  for (const char* root : {"", "/", ".", "./", "/.//."}) {
    CHECK(SplitEntryPath(root, limits, &components).Ok() && components.empty());
  }
  for (const char* wrong : {"..", "a/..", "../a", "a/../b", "/.."}) {
    CHECK(!SplitEntryPath(wrong, limits, &components).Ok());
  }
  CHECK(SplitEntryPath("...", limits, &components).Ok() && SplitEntryPath("a/..b", limits, &components).Ok());
}

TEST(pieces_of_a_sparse_file_are_joined_and_judged) {
  std::vector<Extent> extents{{0, 5}, {5, 5}, {20, 0}, {20, 3}, {30, 0}};
  CHECK(NormaliseExtents(30, 13, &extents).Ok());
  CHECK(extents.size() == 2 && extents[0].length == 10 && extents[1].offset == 20 && extents[1].length == 3);
  const auto is_refused = [](std::vector<Extent> map, uint64_t size, uint64_t packed) {
    return !NormaliseExtents(size, packed, &map).Ok();
  };
  CHECK(is_refused({{0, 5}, {4, 1}}, 10, 6));
  CHECK(is_refused({{0, 11}}, 10, 11));
  CHECK(is_refused({{UINT64_MAX, 2}}, 10, 2));
  CHECK(is_refused({{1, UINT64_MAX}}, 10, 0));
  CHECK(is_refused({{0, 5}}, 10, 4));
}

TEST(an_archive_reads_alike_in_pieces_of_any_size) {
  const std::string expected = "dir/:the/long/name:" + std::string(700, 'd') + "last:end";
  for (const size_t piece : {1u, 2u, 7u, 511u, 512u, 513u, 70'000u}) {
    const std::string archive = Archive();
    Pieces source(archive, piece);
    CHECK(ReadAll(&source) == expected);
  }
}

TEST(an_archive_that_is_cut_anywhere_is_a_fault_or_ends_with_an_entry) {
  const std::string archive = Archive();
  size_t ends = 0;
  for (size_t size = 0; size < archive.size(); size += 1 + size % 3) {
    Pieces source(std::string_view(archive).substr(0, size), 100);
    const std::string all = ReadAll(&source);
    CHECK(all.find("!system") == std::string::npos);
    ends += all.find('!') == std::string::npos ? 1 : 0;
    if (all.find('!') == std::string::npos) CHECK(size % kTarBlock == 0);
  }
  CHECK(ends > 0 && ends < 8);
}

TEST(what_is_behind_the_end_is_read_to_its_end) {
  const std::string archive = Archive() + "more";
  Pieces source(archive, 100);
  CHECK(ReadAll(&source).find("last:end") != std::string::npos);
  TarReader reader(&source, ImageLimits());
  CHECK(reader.Drain().Ok());
  char byte = 0;
  size_t got = 1;
  CHECK(source.Read(&byte, 1, &got).Ok() && got == 0);
}

RUN_TESTS()
