#include "frontier/records.hpp"

#include <algorithm>
#include <sstream>

#include "support/catch.hpp"
#include "transformer/json_file.hpp"
#include "transformer/scratch_folder.hpp"

namespace {

using frontier::Record;
using frontier::RecordFile;
using test::ScratchFolder;

Record record(std::int64_t index) {
  Record r;
  r.id = {"one", 43, "vt", 2048, index, 1, 1, "quest", 0.05, "0123456789abcdef"};
  r.model = "tiny";
  r.parameters = 1000;
  r.dims = {4, 2, 1, 16, 32, 64, 100};
  r.phase = "decode";
  r.cost = {1e9, 1e6, 5e5, 4e4, 3e3, 1.0};
  r.peak_bytes = 4096;
  r.arguments = "page 8";
  r.prompt_tokens = 2040;
  r.density = 0.0625;
  r.strict = 1.0 / 3.0;
  r.compat = 0.5;
  r.unparsed = index % 2 == 0;
  r.prefill_seconds = 0.125;
  r.output_tokens = 7;
  r.output = "a1 \"b2\"\n\xff";  // not UTF-8
  r.gold = "a1 b2";
  return r;
}

std::filesystem::path write_three(ScratchFolder const& folder) {
  std::ostringstream messages;
  RecordFile file(folder.path() / "records.jsonl", {"one"}, false, messages);
  for (std::int64_t index : {0, 1, 2}) file.append(record(index));
  file.sync();
  CHECK(messages.str().empty());
  return folder.path() / "records.jsonl";
}

}  // namespace

TEST_CASE("records: what was appended is found again", "[frontier]") {
  ScratchFolder const folder;
  auto const path = write_three(folder);
  std::ostringstream messages;
  RecordFile const file(path, {"one"}, false, messages);
  Record const* const found = file.find(record(1).id);
  REQUIRE(found != nullptr);
  CHECK(found->strict == 1.0 / 3.0);
  CHECK(found->density == 0.0625);
  CHECK(found->dims.mlp == 64);
  CHECK(found->cost.select_reads == 3e3);
  CHECK(found->cost.kv_bytes == 1.0);
  CHECK(found->peak_bytes == 4096);
  CHECK(found->id.seed == 43);
  CHECK_FALSE(found->unparsed);
  CHECK(found->arguments == "page 8");
  CHECK(found->gold == "a1 b2");
  CHECK_THAT(found->output, test::contains("a1 \"b2\"\n"));
  CHECK(file.find(record(3).id) == nullptr);
  CHECK(messages.str().empty());
}

TEST_CASE("records: a file cut at any byte keeps every whole line and goes on", "[frontier]") {
  ScratchFolder const folder;
  auto const path = write_three(folder);
  std::string const whole = transformer::read_text(path);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    folder.write("records.jsonl", whole.substr(0, size));
    std::size_t const whole_lines =
        static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size), '\n'));
    bool const cut = size > 0 && whole[size - 1] != '\n';
    std::ostringstream messages;
    {
      RecordFile file(path, {"one"}, false, messages);
      for (std::size_t index = 0; index < 3; ++index)
        CHECK((file.find(record(static_cast<std::int64_t>(index)).id) != nullptr) == (index < whole_lines));
      for (std::size_t index = whole_lines; index < 3; ++index) file.append(record(static_cast<std::int64_t>(index)));
    }
    CHECK(transformer::read_text(path) == whole);
    if (cut)
      CHECK_THAT(messages.str(), test::contains("records.jsonl:" + std::to_string(whole_lines + 1) + ": half-written"));
    else
      CHECK(messages.str().empty());
  }
}

TEST_CASE("records: a damaged line is named and left aside", "[frontier]") {
  ScratchFolder const folder;
  auto const path = write_three(folder);
  std::string const whole = transformer::read_text(path);
  std::size_t const second = whole.find('\n') + 1;
  for (std::string const damage : {"#", "\x01", "[1]\n", "\xff"}) {
    std::string damaged = whole;
    damaged.replace(second, damage.size(), damage);
    folder.write("records.jsonl", damaged);
    std::ostringstream messages;
    RecordFile const file(path, {"one"}, false, messages);
    CHECK(file.find(record(0).id) != nullptr);
    CHECK(file.find(record(1).id) == nullptr);
    CHECK(file.find(record(2).id) != nullptr);
    CHECK_THAT(messages.str(), test::contains("records.jsonl:2: damaged"));
  }
}

TEST_CASE("records: configurations do not mix, and fresh forgets", "[frontier]") {
  ScratchFolder const folder;
  auto const path = write_three(folder);
  {
    std::ostringstream messages;
    RecordFile other(path, {"two"}, false, messages);
    CHECK(other.find(record(0).id) == nullptr);
    CHECK_THAT(messages.str(), test::contains("3 records of another"));
    Record of_two = record(0);
    of_two.id.configuration = "two";
    other.append(of_two);
  }
  {
    std::ostringstream messages;
    RecordFile const first(path, {"one"}, false, messages);
    CHECK(first.find(record(2).id) != nullptr);
    CHECK_THAT(messages.str(), test::contains("1 records of another"));
  }
  std::ostringstream messages;
  RecordFile const fresh(path, {"one"}, true, messages);
  CHECK(fresh.find(record(0).id) == nullptr);
  CHECK(std::filesystem::file_size(path) == 0);
}

TEST_CASE("records: one process at a time, and only where files can be written", "[frontier]") {
  ScratchFolder const folder;
  std::ostringstream messages;
  RecordFile const held(folder.path() / "records.jsonl", {"one"}, false, messages);
  CHECK_THAT(test::error_of([&] { RecordFile(folder.path() / "records.jsonl", {"one"}, false, messages); }),
             test::contains("another run"));
  CHECK_THAT(test::error_of([&] { RecordFile(folder.path() / "none" / "records.jsonl", {"one"}, false, messages); }),
             test::contains("cannot be written"));
}

TEST_CASE("records: a report reads what is intact, the later answer to a question asked twice", "[frontier]") {
  ScratchFolder const folder;
  auto const path = write_three(folder);
  std::string const whole = transformer::read_text(path);
  std::size_t const second = whole.find('\n') + 1, third = whole.find('\n', second) + 1;
  Record again = record(0);
  again.strict = 1.0;
  {
    std::ostringstream messages;
    RecordFile file(path, {"one"}, false, messages);
    file.append(again);
  }
  std::string text = transformer::read_text(path);
  text.replace(second, 1, "?");
  folder.write("records.jsonl", text + text.substr(third, 40));
  std::ostringstream messages;
  std::vector<Record> const records = frontier::read_records(path, messages);
  REQUIRE(records.size() == 2);
  CHECK(records[0].id.index == 0);
  CHECK(records[0].strict == 1.0);
  CHECK(records[1].id.index == 2);
  CHECK_THAT(messages.str(), test::contains("records.jsonl:2: damaged"));
  CHECK_THAT(messages.str(), test::contains("records.jsonl:5: half-written"));
  CHECK(test::error_of([&] { frontier::read_records(folder.path() / "none.jsonl", messages); }) != "");
}

TEST_CASE("records: a model that was trained again does not mix with what it was", "[frontier]") {
  std::vector<Record> records = {record(0), record(1), record(2), record(0)};
  records[1].model = "other";
  records[2].id.configuration = records[3].id.configuration = "two";
  records[2].form = "natural";
  std::vector<Record> const latest = frontier::latest_of(records);
  REQUIRE(latest.size() == 3);
  CHECK(latest[0].model == "other");
  CHECK(latest[1].form == "natural");
  CHECK(latest[2].id.configuration == "two");
}
