// Checkpoints that are not whole are refused, and the newest whole one is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/formats/input_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/trainer/checkpoint/states.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/comm/thread_group.h"

namespace bitlaw::trainer::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    CheckpointWriter::Options options;
    options.folder = folder_ / "c";
    options.keep_last = 3;
    run_thread_group(2, [&](Collective& collective) {
      CheckpointWriter writer(options, collective);
      for (const std::int64_t step : {10, 20, 30}) {
        writer.save(make_state(step));
      }
      writer.finish();
    });
  }

  fs::path checkpoint(std::int64_t step) const { return checkpoint_path(folder_ / "c", step); }
  static std::string error_of(const fs::path& path) {
    try {
      read_checkpoint(path);
    } catch (const data::InputError& error) {
      return error.what();
    }
    return "";
  }
  static void flip_bit(const fs::path& path, double place) {
    std::string text = read_file(path);
    text[static_cast<std::size_t>(place * static_cast<double>(text.size() - 1))] ^= 1;
    write_file(path, text);
  }

  bitlaw::test::TemporaryFolder folder_;
};

TEST_F(Damage, AllAreWholeAtFirst) {
  EXPECT_THAT(committed_steps(folder_ / "c"), ElementsAre(10, 20, 30));
  const NewestCheckpoint newest = newest_whole_checkpoint(folder_ / "c");
  EXPECT_EQ(newest.path, checkpoint(30));
  EXPECT_TRUE(newest.skipped.empty());
}

TEST_F(Damage, MissingMarker) {
  fs::remove(checkpoint(30) / "COMMITTED");
  EXPECT_THAT(error_of(checkpoint(30)), HasSubstr("has no COMMITTED"));
  EXPECT_THROW(read_checkpoint_texts(checkpoint(30)), data::InputError);
  std::vector<std::string> ignored;
  EXPECT_THAT(committed_steps(folder_ / "c", &ignored), ElementsAre(10, 20));
  EXPECT_THAT(ignored, ElementsAre(checkpoint(30).string()));
  const NewestCheckpoint newest = newest_whole_checkpoint(folder_ / "c");
  EXPECT_EQ(newest.path, checkpoint(20));
  EXPECT_THAT(newest.skipped, ElementsAre(HasSubstr("step-00000030 is ignored: it was never finished")));
}

TEST_F(Damage, TruncatedPart) {
  const fs::path part = checkpoint(30) / "rank-00001-of-00002.h5";
  fs::resize_file(part, fs::file_size(part) / 2);
  EXPECT_THAT(error_of(checkpoint(30)), HasSubstr("rank-00001-of-00002.h5: is truncated"));
  const NewestCheckpoint newest = newest_whole_checkpoint(folder_ / "c");
  EXPECT_EQ(newest.path, checkpoint(20));
  EXPECT_THAT(newest.skipped, ElementsAre(testing::AllOf(HasSubstr("step-00000030 is passed over"),
                                                         HasSubstr("is truncated"))));
}

TEST_F(Damage, FlippedBitsAnywhere) {
  const fs::path part = checkpoint(30) / "rank-00000-of-00002.h5";
  for (const double place : {0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0}) {
    flip_bit(part, place);
    EXPECT_THAT(error_of(checkpoint(30)), HasSubstr("is damaged")) << place;
    flip_bit(part, place);
  }
  EXPECT_EQ(error_of(checkpoint(30)), "");
}

TEST_F(Damage, MissingPart) {
  fs::remove(checkpoint(30) / "rank-00000-of-00002.h5");
  EXPECT_THAT(error_of(checkpoint(30)), HasSubstr("rank-00000-of-00002.h5: is missing"));
}

TEST_F(Damage, ChangedManifest) {
  flip_bit(checkpoint(30) / "manifest.json", 0.5);
  EXPECT_THAT(error_of(checkpoint(30)), HasSubstr("manifest.json: is damaged"));
  fs::remove(checkpoint(30) / "manifest.json");
  EXPECT_THAT(error_of(checkpoint(30)), HasSubstr("manifest.json"));
}

// A manifest whose marker fits, but that another program wrote.
TEST_F(Damage, ForeignManifests) {
  const std::string good = read_file(checkpoint(30) / "manifest.json");
  const auto error_with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    write_file(checkpoint(30) / "manifest.json", text);
    write_file(checkpoint(30) / "COMMITTED", marker_text(text));
    return error_of(checkpoint(30));
  };
  EXPECT_EQ(error_with("\"step\": 30", "\"step\": 30"), "");
  EXPECT_THAT(error_with("\"version\": 1", "\"version\": 2"), HasSubstr("version 2"));
  EXPECT_THAT(error_with("\"step\": 30", "\"step\": \"x\""), HasSubstr("cannot be understood"));
  EXPECT_THAT(error_with("\"world_size\": 2", "\"world_size\": 3"), HasSubstr("cannot be understood"));
  EXPECT_THAT(error_with("rank-00000-of", "../../00-of"), HasSubstr("cannot be understood"));
  EXPECT_THAT(error_with("model/three", "model/thirty"), HasSubstr("no tensor model/thirty"));
  EXPECT_THAT(error_with("\"int64\"", "\"int32\""), HasSubstr("is not the one that the manifest describes"));
}

TEST_F(Damage, NoneIsWhole) {
  for (const std::int64_t step : {10, 20, 30}) {
    flip_bit(checkpoint(step) / "rank-00000-of-00002.h5", 0.5);
  }
  try {
    newest_whole_checkpoint(folder_ / "c");
    FAIL() << "nothing thrown";
  } catch (const data::InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("none of its checkpoints is whole"));
    EXPECT_THAT(error.what(), HasSubstr("step-00000010"));
    EXPECT_THAT(error.what(), HasSubstr("step-00000030"));
  }
}

TEST_F(Damage, NothingToFind) {
  EXPECT_FALSE(newest_whole_checkpoint(folder_ / "nowhere").path.has_value());
  EXPECT_THAT(committed_steps(folder_ / "nowhere"), ElementsAre());
  EXPECT_THAT(error_of(folder_ / "nowhere"), HasSubstr("is no checkpoint"));
}

}  // namespace
}  // namespace bitlaw::trainer::test
