#ifdef LACUNA_FRONTIER_PROGRAM

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "frontier/analysis/synthetic.hpp"
#include "frontier/random_model.hpp"
#include "frontier/settings.hpp"
#include "support/catch.hpp"
#include "transformer/json_file.hpp"

namespace {

using test::RandomModel;
using test::ScratchFolder;

/// The program with its two streams in files of a folder.
class Program {
 public:
  Program(ScratchFolder const& folder, std::vector<std::string> arguments)
      : out_(folder.path() / "stdout"), err_(folder.path() / "stderr") {
    arguments.insert(arguments.begin(), LACUNA_FRONTIER_PROGRAM);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, out_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    posix_spawn_file_actions_addopen(&files, 2, err_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    REQUIRE(::posix_spawn(&child_, LACUNA_FRONTIER_PROGRAM, &files, nullptr, pointers.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&files);
  }

  /// The exit code; 1000 + signal after a crash.
  int wait() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  void kill() { ::kill(child_, SIGKILL); }
  /// Whether there is an exit code, which stays for wait().
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
  }
  std::string out() const { return transformer::read_text(out_); }
  std::string err() const { return transformer::read_text(err_); }

 private:
  std::filesystem::path out_;
  std::filesystem::path err_;
  pid_t child_ = 0;
};

std::vector<std::string> small_run(std::filesystem::path const& model, std::filesystem::path const& out) {
  return {"run",
          "--model",
          model.string(),
          "--out",
          out.string(),
          "--tasks",
          "vt,niah",
          "--lengths",
          "256",
          "--samples",
          "3",
          "--budgets",
          "1/4",
          "--max-output",
          "4",
          "--threads",
          "1",
          "--methods",
          "dense,vertical-slash,snapkv,quest"};
}

/// One line on stderr, nothing on stdout, the exit code.
std::string complaint(std::vector<std::string> const& arguments, int code) {
  ScratchFolder const folder;
  Program program(folder, arguments);
  CHECK(program.wait() == code);
  CHECK(program.out().empty());
  std::string const text = program.err();
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK_THAT(text, test::contains("frontier: "));
  return text;
}

}  // namespace

TEST_CASE("program: a run leaves a table, records, a summary and a picture", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  Program program(folder, small_run(model.path(), folder.path() / "out"));
  CHECK(program.wait() == 0);
  CHECK_THAT(program.out(), test::contains("vertical-slash"));
  for (char const* name :
       {"records.jsonl", "summary.csv", "report.html", "figures/frontier_decode.svg", "figures/frontier_prefill.png"}) {
    CAPTURE(name);
    CHECK(std::filesystem::file_size(folder.path() / "out" / name) > 100);
  }
}

TEST_CASE("program: a report is made again from the records alone", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  auto const out = folder.path() / "out";
  Program first(folder, small_run(model.path(), out));
  REQUIRE(first.wait() == 0);
  std::string const table = first.out();
  std::filesystem::remove(out / "report.html");
  std::filesystem::remove(out / "summary.csv");
  std::ofstream(out / "records.jsonl", std::ios::app) << "{\"task\": \"vt\"";
  Program second(folder, {"report", "--out", out.string()});
  CHECK(second.wait() == 0);
  CHECK(second.out() == table);
  CHECK_THAT(second.err(), test::contains("records.jsonl:25: half-written"));
  CHECK(std::filesystem::file_size(out / "report.html") > 1000);
  CHECK(std::filesystem::file_size(out / "summary.csv") > 100);
  complaint({"report", "--out", (folder.path() / "none").string()}, 1);
}

TEST_CASE("program: killed at any moment, it goes on where it was", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  auto const records = folder.path() / "out" / "records.jsonl";
  for (int milliseconds : {30, 60, 90, 120, 150}) {
    std::string const before = std::filesystem::exists(records) ? transformer::read_text(records) : "";
    Program program(folder, small_run(model.path(), folder.path() / "out"));
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    program.kill();
    program.wait();
    if (!std::filesystem::exists(records)) continue;
    std::string const whole_lines = before.substr(0, before.rfind('\n') + 1);
    CHECK(transformer::read_text(records).starts_with(whole_lines));
  }
  Program last(folder, small_run(model.path(), folder.path() / "out"));
  CHECK(last.wait() == 0);
  std::string const text = transformer::read_text(records);
  std::vector<std::string> names;
  for (std::size_t at = text.find("\"task\""); at != std::string::npos; at = text.find("\"task\"", at + 1))
    names.push_back(text.substr(at, text.find("\"prompt\"", at) - at));
  CHECK(names.size() == 2 * 3 * 4);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("program: killed whenever something is written, every life leaves what it wrote", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  auto const records = folder.path() / "out" / "records.jsonl";
  auto const bytes = [&] { return std::filesystem::exists(records) ? std::filesystem::file_size(records) : 0; };
  std::size_t lives = 0;
  for (;; ++lives) {
    std::string const before = bytes() > 0 ? transformer::read_text(records) : "";
    Program program(folder, small_run(model.path(), folder.path() / "out"));
    while (!program.ended() && bytes() <= before.size()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    program.kill();
    bool const killed = program.wait() == 1000 + SIGKILL;
    std::string const after = transformer::read_text(records);
    CHECK(after.starts_with(before.substr(0, before.rfind('\n') + 1)));
    if (!killed) break;
    REQUIRE(after.size() > before.size());  // every life gets further: the loop ends
  }
  CHECK(lives > 2);
  std::string const text = transformer::read_text(records);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2 * 3 * 4);
  Program again(folder, small_run(model.path(), folder.path() / "out"));
  CHECK(again.wait() == 0);
  CHECK(again.err().empty());
  CHECK(transformer::read_text(records) == text);
}

TEST_CASE("program: a data file that is missing is one line that names it", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  auto const none = (folder.path() / "none.json").string();
  for (std::string const name : {"squad", "quality", "toefl"}) {
    CAPTURE(name);
    CHECK_THAT(complaint({"generate", "--tasks", "qa_" + name, "--" + name, none, "--lengths", "16384", "--samples",
                          "1", "--out", (folder.path() / "prompts").string()},
                         1),
               test::contains(none));
    CHECK_THAT(complaint({"run", "--model", model.path().string(), "--out", (folder.path() / "out").string(), "--form",
                          "natural", "--tasks", "qa_" + name, "--" + name, none, "--lengths", "512"},
                         1),
               test::contains(none));
  }
  CHECK_THAT(complaint({"generate", "--tasks", "cwe", "--words", none, "--lengths", "16384", "--samples", "1", "--out",
                        (folder.path() / "prompts").string()},
                       1),
             test::contains(none));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "out" / "records.jsonl"));
}

TEST_CASE("program: the budget that kept an error is printed as a run takes it", "[frontier]") {
  ScratchFolder const folder;
  test::Synthetic made;
  made.lengths = {1024, 2048};
  made.score = [](frontier::Record const& record) {
    auto const needed = 2.0 * std::sqrt(static_cast<double>(record.id.length)) * static_cast<double>(record.id.index);
    return record.id.budget * static_cast<double>(record.id.length) >= needed ? 1.0 : 0.0;
  };
  {
    std::ostringstream messages;
    frontier::RecordFile file(folder.path() / "records.jsonl", {"c"}, false, messages);
    for (frontier::Record const& record : made.records()) file.append(record);
  }
  Program program(folder, {"budget", "--out", folder.path().string(), "--error", "0.2"});
  CHECK(program.wait() == 0);
  std::string const text = program.out();
  CHECK(frontier::parse_budget(text.substr(0, text.find('\n'))).reference == 2048.0);
  CHECK_THAT(program.err(), test::contains("from 2 lengths"));
  CHECK_THAT(complaint({"budget", "--out", folder.path().string(), "--method", "snapkv"}, 2),
             test::contains("snapkv of one does not cross"));
  CHECK_THAT(complaint({"budget", "--out", (folder.path() / "none").string()}, 1), test::contains("none"));
}

TEST_CASE("program: what cannot be run is one line and a code, never a crash", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  auto const with = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = small_run(model.path(), folder.path() / "out");
    for (std::size_t i = 0; i + 1 < more.size(); i += 2) {
      auto const known = std::find(arguments.begin(), arguments.end(), more[i]);
      if (known == arguments.end())
        arguments.insert(arguments.end(), {more[i], more[i + 1]});
      else
        *(known + 1) = more[i + 1];
    }
    return arguments;
  };
  complaint({}, 2);
  complaint({"walk"}, 2);
  complaint({"run", "--nonsense"}, 2);
  complaint(with({"--samples", "many"}), 2);
  CHECK_THAT(complaint(with({"--budgets", "0"}), 2), test::contains("'0'"));
  CHECK_THAT(complaint(with({"--budgets", "1.01"}), 2), test::contains("'1.01'"));
  CHECK_THAT(complaint(with({"--tasks", "nap"}), 2), test::contains("'nap'"));
  CHECK_THAT(complaint(with({"--methods", "nap"}), 2), test::contains("'nap'"));
  CHECK_THAT(complaint(with({"--lengths", "16"}), 2), test::contains("length 16"));
  CHECK_THAT(complaint(with({"--lengths", "4096"}), 2), test::contains("positions"));
  CHECK_THAT(complaint(with({"--budgets", "1/100", "--methods", "snapkv"}), 1),
             test::contains("snapkv at budget 1/100"));
  CHECK_THAT(complaint(with({"--model", (folder.path() / "none").string()}), 1), test::contains("none"));
  CHECK_THAT(complaint(with({"--out", "/proc/none/out"}), 1), test::contains("/proc/none/out"));
}

TEST_CASE("program: damaged model files are one line that names them", "[frontier]") {
  RandomModel const model;
  ScratchFolder const folder;
  auto const weights = model.path() / "model.safetensors";
  std::string const whole = transformer::read_text(weights);
  auto const complain = [&] { return complaint(small_run(model.path(), folder.path() / "out"), 1); };
  for (std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{500}, whole.size() / 2, whole.size() - 1}) {
    std::ofstream(weights, std::ios::binary) << whole.substr(0, size);
    CHECK_THAT(complain(), test::contains("model.safetensors: "));
  }
  std::string wrong_type = whole;
  wrong_type.replace(wrong_type.find("BF16"), 4, "F64 ");
  std::ofstream(weights, std::ios::binary) << wrong_type;
  CHECK_THAT(complain(), test::contains("dtype"));
  std::ofstream(weights, std::ios::binary) << whole;
  std::ofstream(model.path() / "tokenizer.json") << "{}";
  CHECK_THAT(complain(), test::contains("tokenizer.json: "));
  std::ofstream(model.path() / "config.json") << "{}";
  CHECK_THAT(complain(), test::contains(".json: "));
}

#endif
