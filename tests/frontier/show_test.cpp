#include "frontier/show.hpp"

#include <numeric>
#include <sstream>

#include "frontier/head_density.hpp"
#include "frontier/random_model.hpp"
#include "frontier/runner.hpp"
#include "frontier/tasks/task_support.hpp"
#include "support/catch.hpp"
#include "transformer/json_file.hpp"

using namespace frontier;

namespace {

double mean_of(Kept const& kept) {
  double sum = 0;
  std::size_t heads = 0;
  for (auto const& layer : kept.heads) {
    sum = std::accumulate(layer.begin(), layer.end(), sum);
    heads += layer.size();
  }
  return sum / static_cast<double>(heads);
}

}  // namespace

TEST_CASE("show: what heads keep makes up what the method keeps", "[frontier]") {
  test::RandomModel const model;
  Sample const sample = find_task("niah")->generate(test::request(512));
  for (char const* method : {"vertical-slash", "block-sparse", "ada-snapkv", "quest"}) {
    Kept const kept = kept_of(model.path(), *find_task("niah"), sample, 512, method, 0.25);
    INFO(method);
    REQUIRE_FALSE(kept.heads.empty());
    CHECK(mean_of(kept) == Approx(kept.density));
    CHECK(kept.density < 0.5);
    std::ostringstream out;
    write_kept(out, kept);
    CHECK_THAT(out.str(), test::contains(method));
    CHECK_THAT(out.str(), test::contains("layer 1 "));
  }
  Kept const ada = kept_of(model.path(), *find_task("niah"), sample, 512, "ada-snapkv", 0.25);
  CHECK(ada.heads[0][0] != ada.heads[0][1]);
  CHECK(kept_of(model.path(), *find_task("niah"), sample, 512, "dense", 0.25).heads.empty());
}

TEST_CASE("show: a picture of every layer and head, or one line that says why not", "[frontier]") {
  test::ScratchFolder const folder;
  Kept const kept{"a < b", 0.3, {{0.1, 0.2}, {0.4, 0.5}}, "", 0.0};
  draw_kept(folder.path() / "kept.svg", kept);
  std::string const svg = transformer::read_text(folder.path() / "kept.svg");
  CHECK_THAT(svg, test::contains("a &lt; b"));
  CHECK(test::occurrences(svg, "stroke=\"#888\"") == 4);
  for (char const* number : {">10.0<", ">20.0<", ">40.0<", ">50.0<", ">layer 2<"})
    CHECK_THAT(svg, test::contains(number));
  CHECK_THROWS_WITH(draw_kept("/proc/none/kept.svg", kept), test::contains("/proc/none/kept.svg"));
  test::RandomModel const model;
  Sample const sample = find_task("niah")->generate(test::request(512));
  CHECK_THROWS_AS(kept_of(model.path(), *find_task("niah"), sample, 512, "nap", 0.25), UsageError);
  CHECK_THROWS_AS(kept_of(model.path(), *find_task("niah"), sample, 4096, "quest", 0.25), UsageError);
}
