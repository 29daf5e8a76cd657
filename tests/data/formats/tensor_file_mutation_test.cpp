// A quick fuzzer: files damaged in every which way are refused or read as they were, in bounded time.
//
// Everything is derived from the number of the round, so a failure repeats.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "data/formats/input_error.h"
#include "data/formats/tensor_file.h"
#include "data/seed.h"
#include "tests/support/temporary_folder.h"

namespace bitlaw::data {
namespace {

constexpr std::uint64_t kRounds = 1000;
constexpr std::chrono::seconds kLongest{5};  // a stop for slow machines, not the usual end

class Dice {
 public:
  explicit Dice(std::uint64_t round) : key_{round, Purpose::synthetic, 0, 0} {}
  std::size_t below(std::size_t bound) {
    return static_cast<std::size_t>(uniform(key_, position_++) * static_cast<double>(bound));
  }

 private:
  RandomKey key_;
  std::uint64_t position_ = 0;
};

std::string contents(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void make_file(const std::filesystem::path& path) {
  TensorFile file = TensorFile::create(path);
  for (int i = 0; i < 20; ++i) {
    const std::vector<std::int64_t> shape = {i, 3};
    const std::vector<std::byte> bytes(static_cast<std::size_t>(i) * 3 * 2, static_cast<std::byte>(i));
    const std::string group = "weights/blocks." + std::to_string(i % 4);
    file.put(group + "/tensor" + std::to_string(i), i % 2 == 0 ? DType::float16 : DType::bfloat16, shape,
             bytes);
    file.put_text(group, "text" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 10, 'x'));
    file.put_integer(group, "integer" + std::to_string(i), i);
  }
  const std::vector<std::int64_t> list = {1, 2, 3};
  file.put_integers("", "list", list);
  file.put_text("", "config", std::string(5000, 'c'));
  file.commit();
}

// Everything that a file says, as one text.
std::string everything(const TensorFile& file) {
  std::string text;
  for (const std::string& name : file.names()) {
    const TensorInfo& info = file.info(name);
    std::vector<std::byte> bytes(info.byte_count());
    file.read(name, bytes);
    text += name + std::string(name_of(info.dtype)) + std::to_string(info.shape.at(0)) +
            std::to_string(info.checksum);
  }
  for (const std::string group :
       {"", "weights/blocks.0", "weights/blocks.1", "weights/blocks.2", "weights/blocks.3"}) {
    for (const std::string& key : file.attribute_keys(group)) {
      text += key + (file.has_text(group, key) ? file.text(group, key) : "");
    }
  }
  return text;
}

std::string mutated(std::string bytes, Dice& dice) {
  const std::size_t kind = dice.below(6);
  const std::size_t at = dice.below(bytes.size());
  const std::size_t length = std::min(bytes.size() - at, 1 + dice.below(kind < 2 ? 8 : 64));
  switch (kind) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << dice.below(8)));
      break;
    case 1:
      for (std::size_t i = 0; i < length; ++i) {
        bytes[at + i] = static_cast<char>(dice.below(256));
      }
      break;
    case 2:
      bytes.replace(at, length, length, '\0');
      break;
    case 3:
      bytes.replace(at, length, length, '\xFF');
      break;
    case 4: {
      const std::string other = bytes.substr(dice.below(bytes.size() - length + 1), length);
      bytes.replace(at, length, other);
      break;
    }
    default:
      bytes.resize(at);
      break;
  }
  return bytes;
}

TEST(TensorFileMutation, DamagedFilesAreRefusedOrUnchanged) {
  test::TemporaryFolder folder;
  make_file(folder / "good.h5");
  const std::string good = contents(folder / "good.h5");
  const std::string wanted = everything(TensorFile::open(folder / "good.h5"));
  const auto end = std::chrono::steady_clock::now() + kLongest;
  std::uint64_t refused = 0;
  std::uint64_t round = 0;
  for (; round < kRounds && std::chrono::steady_clock::now() < end; ++round) {
    Dice dice(round);
    std::string bad = good;
    for (std::size_t times = 1 + dice.below(3); times > 0 && !bad.empty(); --times) {
      bad = mutated(bad, dice);
    }
    std::ofstream(folder / "bad.h5", std::ios::binary) << bad;
    try {
      EXPECT_EQ(everything(TensorFile::open(folder / "bad.h5")), wanted) << "round " << round;
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, round / 2);
}

}  // namespace
}  // namespace bitlaw::data
