#include "transformer/safetensors.hpp"

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace {

using nlohmann::json;
using test::ScratchFolder;
using transformer::SafeTensors;

json entry(std::string const& dtype, json const& shape, std::uint64_t begin, std::uint64_t end) {
  return {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

std::string error_of_bytes(std::string const& bytes) {
  ScratchFolder const folder;
  auto const file = folder.write("model.safetensors", bytes);
  std::string const error = test::error_of([&] { SafeTensors{file}; });
  if (!error.empty()) CHECK_THAT(error, test::contains(file.string()));
  return error;
}

std::string with_header(std::string const& header, std::string const& data) {
  std::uint64_t const length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

}  // namespace

TEST_CASE("safetensors: f32, bf16 and f16 are read as they are meant", "[transformer]") {
  std::string data;
  auto const put = [&](auto word) { data.append(reinterpret_cast<char const*>(&word), sizeof word); };
  put(1.5F);
  put(-0.0F);
  for (std::uint16_t bits : {0x3fc0, 0xff80, 0x0001}) put(static_cast<std::uint16_t>(bits));  // 1.5, -inf, tiny
  for (std::uint16_t bits : {0x3c00, 0xc000, 0x0001, 0x7c00, 0x7e00, 0x7bff, 0x8400})         // f16
    put(static_cast<std::uint16_t>(bits));
  ScratchFolder const folder;
  json const header = {{"a", entry("F32", {1, 2}, 0, 8)},
                       {"b", entry("BF16", {3}, 8, 14)},
                       {"c", entry("F16", {7}, 14, 28)},
                       {"none", entry("F32", {0, 5}, 28, 28)},
                       {"__metadata__", {{"format", "pt"}}}};
  SafeTensors const file(folder.write("m.safetensors", test::safetensors_bytes(header, data)));
  CHECK(file.read("a", {1, 2}) == std::vector<float>{1.5F, 0.0F});
  CHECK(file.read("none", {0, 5}).empty());
  std::vector<float> const b = file.read("b", {3});
  CHECK(b[0] == 1.5F);
  CHECK(b[1] == -std::numeric_limits<float>::infinity());
  CHECK(b[2] == std::bit_cast<float>(0x00010000U));
  std::vector<float> const c = file.read("c", {7});
  CHECK(c[0] == 1.0F);
  CHECK(c[1] == -2.0F);
  CHECK(c[2] == 0x1p-24F);
  CHECK(std::isinf(c[3]));
  CHECK(std::isnan(c[4]));
  CHECK(c[5] == 65504.0F);
  CHECK(c[6] == -0x1p-14F);

  CHECK_THAT(test::error_of([&] { file.read("d", {3}); }), test::contains("tensor 'd' is missing"));
  CHECK_THAT(test::error_of([&] { file.read("b", {3, 1}); }), test::contains("tensor 'b' has shape [3]"));
}

TEST_CASE("safetensors: a damaged header is an error that says what is wrong", "[transformer]") {
  CHECK_THAT(error_of_bytes(""), test::contains("too short"));
  CHECK_THAT(error_of_bytes("1234567"), test::contains("too short"));
  CHECK_THAT(error_of_bytes(std::string(8, '\xff')), test::contains("header"));
  CHECK_THAT(error_of_bytes(with_header("{", "")), test::contains("not JSON"));
  CHECK_THAT(error_of_bytes(with_header("[]", "")), test::contains("not a JSON object"));
  CHECK_THAT(error_of_bytes(with_header("\xff\xff", "")), test::contains("not JSON"));
  std::string const twice = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                            R"("x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  CHECK_THAT(error_of_bytes(with_header(twice, "1234")), test::contains("'x' twice"));
}

TEST_CASE("safetensors: every claim about a tensor is checked", "[transformer]") {
  std::string const data(16, '\0');
  std::uint64_t const huge = std::uint64_t{1} << 62U;
  std::vector<json> const cases = {
      entry("F64", {2}, 0, 16),  // a dtype that is not read
      entry("", {4}, 0, 16),
      entry("F32", {5}, 0, 20),  // beyond the end
      entry("F32", {4}, 16, 0),  // backwards
      entry("F32", {3}, 0, 16),  // shape and range disagree
      entry("BF16", {4}, 0, 16),
      entry("F32", {huge, 4}, 0, 16),  // products past 64 bits
      entry("F32", {huge, huge, 0}, 0, 0),
      entry("F32", {-4}, 0, 16),
      entry("F32", {4.0}, 0, 16),
      entry("F32", "4", 0, 16),
      {{"dtype", "F32"}, {"shape", {4}}},
      {{"dtype", 1}, {"shape", {4}}, {"data_offsets", {0, 16}}},
      {{"dtype", "F32"}, {"shape", {4}}, {"data_offsets", {0}}},
      {{"dtype", "F32"}, {"shape", {4}}, {"data_offsets", {-16, 0}}},
      {{"dtype", "F32"}, {"shape", {4}}, {"data_offsets", "0"}},
      3,
  };
  for (json const& tensor : cases) {
    CAPTURE(tensor.dump());
    CHECK_THAT(error_of_bytes(test::safetensors_bytes(json::object({{"the.name", tensor}}), data)),
               test::contains("'the.name'"));
  }
  json const overlapping = {{"one", entry("F32", {3}, 0, 12)}, {"two", entry("F32", {2}, 8, 16)}};
  CHECK_THAT(error_of_bytes(test::safetensors_bytes(overlapping, data)), test::contains("'two' overlaps tensor 'one'"));
}

TEST_CASE("safetensors: a file cut anywhere is an error, never a crash", "[transformer]") {
  json const header = {{"a", entry("F32", {2}, 0, 8)}, {"b", entry("BF16", {3}, 8, 14)}};
  std::string const whole = test::safetensors_bytes(header, std::string(14, '\1'));
  CHECK(error_of_bytes(whole).empty());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(error_of_bytes(whole.substr(0, size)).empty());
  }
  CHECK_THAT(error_of_bytes(whole.substr(0, whole.size() - 1)), test::contains("'b'"));
}

TEST_CASE("safetensors: no single damaged header byte crashes the reader", "[transformer]") {
  json const header = {{"a", entry("F32", {2}, 0, 8)}, {"b", entry("BF16", {3}, 8, 14)}};
  std::string const whole = test::safetensors_bytes(header, std::string(14, '\1'));
  for (std::size_t at = 0; at < whole.size() - 14; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      ScratchFolder const folder;
      auto const path = folder.write("m.safetensors", damaged);
      std::string const error = test::error_of([&] {
        SafeTensors const file(path);
        file.read("a", {2});
        file.read("b", {3});
      });
      if (!error.empty()) CHECK_THAT(error, test::contains(path.string()));
    }
  }
}

TEST_CASE("safetensors: what is not a file is an error", "[transformer]") {
  ScratchFolder const folder;
  CHECK_THAT(test::error_of([&] { SafeTensors{folder.path()}; }), test::contains("regular file"));
  CHECK_THAT(test::error_of([&] { SafeTensors{folder.path() / "none"}; }), test::contains("cannot be opened"));
}
