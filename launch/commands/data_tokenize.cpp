// bitlaw data tokenize: image shards -> token shards by a trained tokenizer, on any number of ranks.
//
// Shards of the result have a fixed size and are made in fixed batches by one thread each, so the result is
// the same to the bit whatever the number of ranks.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>

#include "data/formats/input_error.h"
#include "data/shard_dataset.h"
#include "data/shard_writer.h"
#include "launch/commands/data_commands.h"
#include "launch/exit_code.h"
#include "launch/model_source.h"
#include "trainer/agreement.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_vote.h"

namespace bitlaw::launch {
namespace {

// Pixels encoded between two votes: short enough for any deadline on one slow core, and for the memory of the
// first convolutions.
constexpr std::int64_t kBatchPixels = 64 * 32 * 32;

struct DataTokenizeArguments {
  std::string tokenizer;
  std::string in;
  std::string out;
  std::int64_t samples_per_shard = 0;
};

struct Tokenizer {
  std::shared_ptr<distill::VqTokenizer> model;
  std::string hash;
};

Tokenizer open_tokenizer(const std::string& path) {
  const LoadedModel loaded = load_model(path, {Weights::model, "--tokenizer"});
  auto model = tokenizer_of(loaded);
  if (!model) {
    throw data::InputError("--tokenizer " + path + " is not a tokenizer",
                           "tokens come from a model of family vq",
                           "name a run whose task.kind is tokenizer, or its export");
  }
  return {model, loaded.origin.parameter_hash};
}

void check_images(const data::ShardManifest& images, const distill::VqTokenizer& tokenizer,
                  const DataTokenizeArguments& arguments) {
  if (images.kind != "images") {
    throw data::InputError("--in " + arguments.in + " holds " + images.kind, "a tokenizer reads images",
                           "name a data set made by 'bitlaw data import'");
  }
  const std::int64_t side = tokenizer.image_side();
  const std::vector<std::int64_t> wanted = {tokenizer.config().image_channels, side, side};
  if (images.shape != wanted) {
    throw data::InputError(fmt::format("--in {}: images of [{}], the tokenizer reads [{}]", arguments.in,
                                       fmt::join(images.shape, ", "), fmt::join(wanted, ", ")),
                           "tokens of other shapes would mean nothing",
                           fmt::format("import the images with --size {} --channels {}", side, wanted[0]));
  }
}

data::ShardManifest describe_tokens(const data::ShardManifest& images, const Tokenizer& tokenizer,
                                    const DataTokenizeArguments& arguments) {
  const distill::VqConfig& config = tokenizer.model->config();
  data::ShardManifest tokens;
  tokens.kind = "tokens";
  tokens.samples = images.samples;
  tokens.num_classes = images.num_classes;
  tokens.class_names = images.class_names;
  tokens.shape = {distill::token_count(config.patch_nums)};
  tokens.vocab_size = config.codebook_size;
  tokens.patch_nums = config.patch_nums;
  tokens.tokenizer_hash = tokenizer.hash;
  tokens.source = "tokens of " + arguments.in + " by " + arguments.tokenizer;
  const std::string made_from =
      fmt::format("tokenize 1 {} {} {}", images.content_hash, tokenizer.hash, arguments.samples_per_shard);
  data::TensorHash hash;
  hash.add("source", std::as_bytes(std::span(made_from)), 1);
  tokens.source_hash = hash.hex();
  return tokens;
}

template <class Stored>
void store(const at::Tensor& tokens, std::byte* into) {
  const std::int64_t* from = tokens.const_data_ptr<std::int64_t>();
  std::transform(from, from + tokens.numel(), reinterpret_cast<Stored*>(into),
                 [](std::int64_t token) { return static_cast<Stored>(token); });
}

void store_tokens(const at::Tensor& tokens, data::DType dtype, std::byte* into) {
  switch (dtype) {
    case data::DType::uint8:
      return store<std::uint8_t>(tokens, into);
    case data::DType::uint16:
      return store<std::uint16_t>(tokens, into);
    default:
      return store<std::int32_t>(tokens, into);
  }
}

// Tokens and labels as they are stored.
struct Shard {
  std::vector<std::byte> samples;
  std::vector<std::int32_t> labels;
};

class Tokenizing {
 public:
  Tokenizing(const data::ShardDataset& images, const Tokenizer& tokenizer, const data::ShardManifest& tokens)
      : images_(images), tokenizer_(tokenizer), tokens_(tokens) {
    const std::int64_t side = tokenizer.model->image_side();
    batch_ = std::clamp<std::int64_t>(kBatchPixels / (side * side), 1, 64);
  }

  std::int64_t batch() const { return batch_; }
  std::int64_t batches_of(std::int64_t samples) const { return (samples + batch_ - 1) / batch_; }

  // Samples [first, first + count) of the data set, behind those that are there.
  void append(std::int64_t first, std::int64_t count, Shard& shard) const {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    const data::Batch batch = images_.read(indices);
    const at::Tensor tokens = tokenizer_.model->encode(batch.images).to(at::kCPU).contiguous();
    const std::size_t before = shard.samples.size();
    shard.samples.resize(before + indices.size() * data::sample_bytes(tokens_));
    store_tokens(tokens, data::sample_dtype(tokens_), shard.samples.data() + before);
    const std::int64_t* from = batch.labels.const_data_ptr<std::int64_t>();
    std::transform(from, from + count, std::back_inserter(shard.labels),
                   [](std::int64_t label) { return static_cast<std::int32_t>(label); });
  }

 private:
  const data::ShardDataset& images_;
  const Tokenizer& tokenizer_;
  const data::ShardManifest& tokens_;
  std::int64_t batch_ = 0;
};

// Rank 0 makes the temporary folder; the others learn its name by its tag.
std::unique_ptr<data::ShardWriter> open_writer(const std::string& out, const data::ShardManifest& tokens,
                                               std::int64_t samples_per_shard,
                                               trainer::Collective& collective) {
  std::unique_ptr<data::ShardWriter> writer;
  at::Tensor tag = at::zeros({1}, at::kLong);
  const auto make_folder = [&] {
    writer = std::make_unique<data::ShardWriter>(out, tokens, samples_per_shard);
    tag.fill_(writer->tag());
  };
  trainer::on_rank_0(make_folder, collective);
  collective.broadcast(tag, 0).wait();
  if (!writer) {
    writer = std::make_unique<data::ShardWriter>(out, tokens, samples_per_shard, tag.item<std::int64_t>());
  }
  return writer;
}

// In rounds of one shard a rank. Before each batch of the largest shard every rank casts its vote, those
// without a shard or with a shorter one too: so nobody waits for more than two batches, and all learn of a
// wish to stop at the same place.
void make_shards(const Tokenizing& tokenizing, const data::ShardWriter& writer,
                 trainer::Collective& collective) {
  const std::int64_t batches = tokenizing.batches_of(writer.samples_of(0));
  trainer::StopVote vote(collective);
  for (std::int64_t round = 0; round < writer.shard_count(); round += collective.size()) {
    const std::int64_t index = round + collective.rank();
    const std::int64_t samples = index < writer.shard_count() ? writer.samples_of(index) : 0;
    Shard shard;
    for (std::int64_t i = 0; i < batches; ++i) {
      if (vote.next(trainer::stop_requested())) {
        throw trainer::StopRequested("tokenising was stopped; nothing is left of it");
      }
      const std::int64_t done = i * tokenizing.batch();
      if (done < samples) {
        tokenizing.append(writer.first_of(index) + done, std::min(tokenizing.batch(), samples - done), shard);
      }
    }
    const auto write = [&] {
      if (samples > 0) {
        writer.write(index, shard.samples, shard.labels);
      }
    };
    trainer::on_every_rank(write, collective);
  }
}

int tokenize(const DataTokenizeArguments& arguments, trainer::Collective& collective) {
  at::set_num_threads(1);  // sums inside the network must not depend on how many threads a rank has
  const at::NoGradGuard no_grad;
  const Tokenizer tokenizer = open_tokenizer(arguments.tokenizer);
  const data::ShardDataset images(arguments.in);
  check_images(images.manifest(), *tokenizer.model, arguments);
  const data::ShardManifest tokens = describe_tokens(images.manifest(), tokenizer, arguments);
  trainer::require_same_yaml(fmt::format("tokenizer and images: {}\n", tokens.source_hash),
                             "what is tokenised (hash of tokenizer and images)", collective);
  const bool made =
      trainer::decision_of_rank_0(data::already_made(arguments.out, tokens.source_hash), collective);
  std::optional<data::ShardManifest> result;
  if (made) {
    result = data::read_manifest(arguments.out);
  } else {
    const auto writer = open_writer(arguments.out, tokens,
                                    arguments.samples_per_shard > 0 ? arguments.samples_per_shard
                                                                    : data::default_samples_per_shard(tokens),
                                    collective);
    make_shards(Tokenizing(images, tokenizer, tokens), *writer, collective);
    trainer::on_rank_0([&] { result = writer->commit(); }, collective);
  }
  if (collective.rank() == 0) print_made(arguments.out, *result, made);
  return kDone;
}

}  // namespace

void add_data_tokenize(CLI::App& data, Action& action) {
  auto arguments = std::make_shared<DataTokenizeArguments>();
  CLI::App* command = data.add_subcommand(
      "tokenize", "shards of images -> shards of tokens; start it with mpirun to use several processors");
  command->add_option("--tokenizer", arguments->tokenizer, "run folder or export of the tokenizer")
      ->required()
      ->type_name("RUN|FILE");
  command->add_option("--in", arguments->in, "folder of image shards")->required()->type_name("DIR");
  command->add_option("--out", arguments->out, "folder to make")->required()->type_name("DIR");
  command
      ->add_option("--samples-per-shard", arguments->samples_per_shard,
                   "default: 2048, fewer when a shard would exceed 64 MiB")
      ->check(CLI::PositiveNumber);
  command->callback([arguments, &action] {
    action = [arguments] {
      trainer::stop_at_interrupt();
      return run_on_ranks(trainer::ParallelConfig{},
                          [&](trainer::Collective& collective) { return tokenize(*arguments, collective); });
    };
  });
}

}  // namespace bitlaw::launch
