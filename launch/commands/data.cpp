// bitlaw data: makes, describes and checks data sets.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/formats/input_error.h"
#include "data/shard_store.h"
#include "launch/commands/data_commands.h"
#include "launch/exit_code.h"

namespace bitlaw::launch {
namespace {

std::int64_t bytes_of(const data::ShardManifest& manifest) {
  std::int64_t bytes = 0;
  for (const data::ShardEntry& shard : manifest.shards) bytes += shard.bytes;
  return bytes;
}

nlohmann::ordered_json describe(const data::ShardManifest& manifest) {
  nlohmann::ordered_json json;
  json["kind"] = manifest.kind;
  json["samples"] = manifest.samples;
  json["shape"] = manifest.shape;
  json["num_classes"] = manifest.num_classes;
  json["class_names"] = manifest.class_names;
  json["shards"] = manifest.shards.size();
  json["bytes"] = bytes_of(manifest);
  json["content_hash"] = manifest.content_hash;
  json["source"] = manifest.source;
  json["source_hash"] = manifest.source_hash;
  if (manifest.kind == "tokens") {
    json["tokenizer_hash"] = manifest.tokenizer_hash;
    json["vocab_size"] = manifest.vocab_size;
    json["patch_nums"] = manifest.patch_nums;
  }
  return json;
}

int inspect(const std::string& folder, bool as_json) {
  const nlohmann::ordered_json json = describe(data::read_manifest(folder));
  if (as_json) {
    fmt::print("{}\n", json.dump());
    return kDone;
  }
  for (const auto& [key, value] : json.items()) {
    fmt::print("{:<16} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return kDone;
}

int verify(const std::string& folder) {
  const std::vector<std::string> problems = data::shard_problems(folder);
  if (problems.empty()) {
    fmt::print("{}: {}: all checksums agree\n", folder, summary_of(data::read_manifest(folder)));
    return kDone;
  }
  throw data::InputError(fmt::format("{} is damaged, {} of its parts:\n  {}\n", folder, problems.size(),
                                     fmt::join(problems, "\n  ")),
                         "training would be refused or wrong",
                         "restore what is named from a copy, or remove the folder and import it again");
}

}  // namespace

std::string summary_of(const data::ShardManifest& manifest) {
  return fmt::format("{} {} of [{}], {} classes, {} shards", manifest.samples, manifest.kind,
                     fmt::join(manifest.shape, ", "), manifest.num_classes, manifest.shards.size());
}

void print_made(const std::string& out, const data::ShardManifest& manifest, bool already_made) {
  fmt::print("{}: {}, {:.1f} MB, content {}{}\n", out, summary_of(manifest),
             static_cast<double>(bytes_of(manifest)) / 1e6, manifest.content_hash.substr(0, 12),
             already_made ? "; was there already, nothing to do" : "");
}

void add_data_inspect(CLI::App& data, Action& action) {
  struct Arguments {
    std::string folder;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = data.add_subcommand("inspect", "show what a data set holds");
  command->add_option("dir", arguments->folder, "folder of shards")->required()->type_name("DIR");
  command->add_flag("--json", arguments->json, "for programs");
  command->callback(
      [arguments, &action] { action = [arguments] { return inspect(arguments->folder, arguments->json); }; });
}

void add_data_verify(CLI::App& data, Action& action) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = data.add_subcommand("verify", "read everything and compare every checksum");
  command->add_option("dir", *folder, "folder of shards")->required()->type_name("DIR");
  command->callback([folder, &action] { action = [folder] { return verify(*folder); }; });
}

void add_data(CLI::App& app, Action& action) {
  CLI::App* data = app.add_subcommand("data", "make, describe and check data sets");
  data->require_subcommand(1);
  add_data_import(*data, action);
  add_data_tokenize(*data, action);
  add_data_inspect(*data, action);
  add_data_verify(*data, action);
}

}  // namespace bitlaw::launch
