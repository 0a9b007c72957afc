#include "transformer/json_file.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace transformer {

std::string read_text(std::filesystem::path const& file) {
  if (std::filesystem::is_directory(file)) throw std::runtime_error(file.string() + ": is a directory, not a file");
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error(file.string() + ": cannot be opened");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) throw std::runtime_error(file.string() + ": cannot be read");
  return std::move(text).str();
}

nlohmann::json read_json_object(std::filesystem::path const& file) {
  std::string const text = read_text(file);
  try {
    nlohmann::json json = nlohmann::json::parse(text);
    if (!json.is_object()) throw std::runtime_error(file.string() + ": is not a JSON object");
    return json;
  } catch (nlohmann::json::parse_error const& error) {
    throw std::runtime_error(file.string() + ": is not JSON, byte " + std::to_string(error.byte) + " of " +
                             std::to_string(text.size()) + " makes no sense");
  }
}

}  // namespace transformer
