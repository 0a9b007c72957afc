#include "frontier/fingerprint.hpp"

#include <array>
#include <cstdio>

#include "transformer/safetensors.hpp"

namespace frontier {

Fingerprint& Fingerprint::add(std::span<std::byte const> bytes) {
  for (std::byte byte : bytes) state_ = (state_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3ULL;
  return *this;
}

Fingerprint& Fingerprint::add(std::string_view text) {
  // The length keeps ("ab", "c") and ("a", "bc") apart.
  std::uint64_t const length = text.size();
  return add(std::as_bytes(std::span(&length, 1))).add(std::as_bytes(std::span(text)));
}

std::string Fingerprint::hex() const {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(state_));
  return text.data();
}

std::string fingerprint_of_model(std::filesystem::path const& folder) {
  Fingerprint fingerprint;
  for (char const* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    transformer::MappedFile const file(folder / name);
    fingerprint.add(name).add(file.bytes());
  }
  return fingerprint.hex();
}

}  // namespace frontier
