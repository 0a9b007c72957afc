// One prompt and one decode step through three sparse methods and the dense baseline: what to plan, what to bring, what
// comes back. The data is random, so the errors say nothing about quality; with random keys every choice is a bad one.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "lacuna/lacuna.hpp"

namespace {

constexpr std::int64_t kPrompt = 4096, kHeadsQ = 4, kHeadsKv = 2, kDim = 64;

/// The library never allocates: memory is ours to bring, in multiples of what it likes to be aligned to.
struct alignas(lacuna::Workspace::kAlignment) Line {
  std::byte bytes[lacuna::Workspace::kAlignment];
};
using Buffer = std::vector<Line>;

Buffer allocate(std::size_t bytes) { return Buffer(bytes / sizeof(Line) + 1); }

void require(lacuna::Status status) {
  if (status) return;
  std::fprintf(stderr, "quickstart: %s (%lld, %lld)\n", status.message, static_cast<long long>(status.value),
               static_cast<long long>(status.bound));
  std::exit(1);
}

std::vector<float> random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(bits);
  return values;
}

/// The answer of a method to a problem, and the density of what it read.
template <class M>
std::vector<float> answer(lacuna::Cpu exec, M const& method, lacuna::Problem<float> const& problem, double& density) {
  lacuna::Shape const shape = lacuna::shape_of(problem);
  auto const plan = method.plan(exec, shape);
  require(plan.status());
  Buffer index_memory = allocate(plan->index_bytes), workspace = allocate(plan->workspace_bytes);
  lacuna::Workspace for_index(index_memory.data(), plan->index_bytes);
  auto index = method.make_index(shape, for_index);

  std::vector<float> out(static_cast<std::size_t>(problem.q.count()));
  require(method.run(exec, problem, lacuna::Workspace(workspace.data(), plan->workspace_bytes), index,
                     lacuna::AttentionOut<float>{lacuna::dense_view<float, 3>(out.data(), problem.q.extents)}));
  density = lacuna::density(index);
  return out;
}

double rms_difference(std::vector<float> const& a, std::vector<float> const& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

}  // namespace

int main() {
  lacuna::ThreadPool pool(static_cast<int>(std::thread::hardware_concurrency()));
  lacuna::Cpu const exec = pool.exec();
  std::vector<float> const q = random_floats(kPrompt * kHeadsQ * kDim, 1),
                           k = random_floats(kPrompt * kHeadsKv * kDim, 2),
                           v = random_floats(kPrompt * kHeadsKv * kDim, 3);
  auto const keys = lacuna::dense_view<float const, 3>(k.data(), {kPrompt, kHeadsKv, kDim});
  auto const values = lacuna::dense_view<float const, 3>(v.data(), {kPrompt, kHeadsKv, kDim});

  // Keys and values go into a cache of 16-token pages, with the bounds per page that Quest reads.
  constexpr std::int64_t kPageTokens = 16, kPages = kHeadsKv * kPrompt / kPageTokens;
  Buffer pages = allocate(lacuna::PagePool<float>::bytes(kPages, kPageTokens, kDim));
  lacuna::PagePool<float> page_pool(pages.data(), kPages, kPageTokens, kDim);
  Buffer tables = allocate(lacuna::EvictingCache<float>::bytes(page_pool, kPrompt, kHeadsKv, kPageTokens));
  lacuna::EvictingCache<float> cache(page_pool, tables.data(), kPrompt, kHeadsKv, kPageTokens);
  require(cache.append(exec, keys, values));

  lacuna::Problem<float> const prompt{lacuna::dense_view<float const, 3>(q.data(), {kPrompt, kHeadsQ, kDim}),
                                      cache.view()};
  lacuna::Problem<float> const step{
      lacuna::dense_view<float const, 3>(q.data() + (kPrompt - 1) * kHeadsQ * kDim, {1, kHeadsQ, kDim}), cache.view()};

  double density = 1.0;
  std::puts("phase    method          density  difference from dense (rms)");
  std::vector<float> const dense_prompt = answer(exec, lacuna::Dense{}, prompt, density);
  std::vector<float> const dense_step = answer(exec, lacuna::Dense{}, step, density);

  lacuna::VerticalSlash const vertical_slash{.budget = {.columns = 256, .diagonals = 256}};
  double difference = rms_difference(answer(exec, vertical_slash, prompt, density), dense_prompt);
  std::printf("prefill  vertical-slash  %7.3f  %.4f\n", density, difference);

  lacuna::Quest const quest{.budget = {.tokens = 512}};
  difference = rms_difference(answer(exec, quest, step, density), dense_step);
  std::printf("decode   quest           %7.3f  %.4f\n", density, difference);

  // SnapKV decides at the prompt's end; the cache then forgets, and what follows reads what is left.
  lacuna::SnapKv const snap_kv{.budget = {.tokens = 512}};
  lacuna::Shape const shape = lacuna::shape_of(prompt);
  auto const plan = snap_kv.plan(exec, shape);
  require(plan.status());
  Buffer index_memory = allocate(plan->index_bytes), workspace = allocate(plan->workspace_bytes);
  lacuna::Workspace for_index(index_memory.data(), plan->index_bytes);
  lacuna::TokenIndex kept = snap_kv.make_index(shape, for_index);
  require(snap_kv.select(exec, prompt, lacuna::Workspace(workspace.data(), plan->workspace_bytes), kept));
  std::int64_t const free_before = page_pool.free_pages();
  require(cache.retain(exec, kept));
  lacuna::Problem<float> const shorter_step{step.q, cache.view()};
  double of_what_is_left = 1.0;
  difference = rms_difference(answer(exec, lacuna::Dense{}, shorter_step, of_what_is_left), dense_step);
  std::printf("decode   snap-kv         %7.3f  %.4f  (%lld of %lld pages given back)\n", lacuna::density(kept),
              difference, static_cast<long long>(page_pool.free_pages() - free_before), static_cast<long long>(kPages));
}
