// A small fuzzer of our own, for machines without libFuzzer: damages the files of a corpus.
//
//   <reader>_fuzz SECONDS CORPUS...       the corpus as it is, then damaged, for so long; prints how many
//   inputs <reader>_fuzz --round N CORPUS...     writes the input of round N to ./round-N and runs it
// CORPUS are folders or files. Every input follows from the number of its round and the corpus, so a find
// repeats; the number is printed when the program dies. Exit code 0: no find.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/support/file_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size);
// Of the sanitizers' run-time library, where the program is built with one.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr std::size_t kLargestInput = 1 << 16;

std::uint64_t current_round = 0;  // for what is printed at death

void print_round() {
  std::array<char, 64> text{};
  std::memcpy(text.data(), "find: round ", 12);
  char* end = std::to_chars(text.data() + 12, text.data() + text.size() - 1, current_round).ptr;
  *end++ = '\n';
  [[maybe_unused]] const ssize_t done = ::write(2, text.data(), static_cast<std::size_t>(end - text.data()));
}

void die(int signal) {
  print_round();
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

// SplitMix64: a stream of numbers for each round.
class Dice {
 public:
  explicit Dice(std::uint64_t round) : state_(round * 0x9E3779B97F4A7C15U + 1) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : static_cast<std::size_t>(next() % bound); }

 private:
  std::uint64_t state_;
};

// Numbers at which sizes and products go wrong.
std::string interesting_number(Dice& dice) {
  constexpr std::array<std::uint64_t, 10> kNumbers = {
      0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF};
  const std::uint64_t number = kNumbers[dice.below(kNumbers.size())] + dice.below(3) - 1;
  return bitlaw::test::little(number).substr(0, std::size_t{1} << dice.below(4));
}

void damage(std::string& bytes, const std::vector<std::string>& corpus, Dice& dice) {
  const std::size_t at = dice.below(bytes.size() + 1);
  const std::size_t length = std::min(bytes.size() - at, 1 + dice.below(32));
  switch (dice.below(7)) {
    case 0:
      if (at < bytes.size()) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << dice.below(8)));
      }
      break;
    case 1:
      for (std::size_t i = 0; i < length; ++i) {
        bytes[at + i] = static_cast<char>(dice.below(256));
      }
      break;
    case 2: {
      const std::string number = interesting_number(dice);
      bytes.replace(at, std::min(number.size(), bytes.size() - at), number);
      break;
    }
    case 3:
      bytes.erase(at, length);
      break;
    case 4:
      bytes.insert(at, bytes.substr(dice.below(bytes.size() + 1), length));
      break;
    case 5: {
      const std::string& other = corpus[dice.below(corpus.size())];
      bytes.replace(at, length, other.substr(dice.below(other.size() + 1), 1 + dice.below(64)));
      break;
    }
    default:
      bytes.resize(at);
      break;
  }
}

// Rounds below the size of the corpus are its files as they are.
std::string input_of(std::uint64_t round, const std::vector<std::string>& corpus) {
  if (round < corpus.size()) {
    return corpus[round];
  }
  Dice dice(round);
  std::string bytes = corpus[dice.below(corpus.size())];
  for (std::size_t times = 1 + dice.below(4); times > 0; --times) {
    damage(bytes, corpus, dice);
  }
  return bytes.substr(0, kLargestInput);
}

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::vector<std::string> corpus_of(const std::vector<std::string>& places) {
  std::vector<std::filesystem::path> files;
  for (const std::string& place : places) {
    if (!std::filesystem::is_directory(place)) {
      files.emplace_back(place);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(place)) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const auto& file : files) {
    corpus.push_back(bitlaw::test::read_bytes(file));
  }
  if (corpus.empty()) {
    throw std::invalid_argument("the corpus has no files");
  }
  return corpus;
}

void fuzz(std::chrono::seconds duration, const std::vector<std::string>& corpus) {
  const auto end = std::chrono::steady_clock::now() + duration;
  while (current_round < corpus.size() || std::chrono::steady_clock::now() < end) {
    run(input_of(current_round, corpus));
    ++current_round;
  }
  std::printf("%llu inputs, no find\n", static_cast<unsigned long long>(current_round));
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + 1, words + count);
  if (arguments.size() < 2) {
    std::fprintf(stderr, "usage: %s SECONDS|--round N CORPUS...\n", words[0]);
    return 2;
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    std::signal(signal, die);
  }
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(print_round);
  }
  if (arguments[0] == "--round") {
    current_round = std::stoull(arguments[1]);
    const std::string input = input_of(current_round, corpus_of({arguments.begin() + 2, arguments.end()}));
    bitlaw::test::write_bytes("round-" + arguments[1], input);
    run(input);
  } else {
    fuzz(std::chrono::seconds(std::stoll(arguments[0])), corpus_of({arguments.begin() + 1, arguments.end()}));
  }
  return 0;
}
