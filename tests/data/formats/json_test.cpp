// JSON that somebody else wrote: what it may cost, and what of it reaches a terminal.
#include "data/formats/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "data/formats/tensor_name.h"
#include "tests/support/message_of.h"

namespace bitlaw::data {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string refusal(const std::string& text) {
  return test::message_of([&] { Json::parse(text, "x"); });
}

// An array of `count` zeros; the array is a value too.
std::string zeros(std::size_t count) {
  std::string text = "[0";
  for (std::size_t i = 1; i < count; ++i) {
    text += ",0";
  }
  return text + "]";
}

TEST(Json, ValuesAndBytesAreBounded) {
  EXPECT_EQ(refusal(zeros(kMostJsonValues - 1)), "");
  EXPECT_THAT(refusal(zeros(kMostJsonValues)), HasSubstr("x: more than 1048576 values"));
  EXPECT_THAT(refusal(std::string(kLargestJson + 1, ' ')), HasSubstr("67108865 bytes of JSON"));
  EXPECT_THAT(refusal(std::string(100, '[')), HasSubstr("nest deeper than 64"));
}

TEST(Json, MessagesShowNothingRaw) {
  EXPECT_THAT(refusal(R"({"a\u001b[2J": 1, "a\u001b[2J": 2})"),
              AllOf(HasSubstr("'a\\x1b[2J' occurs twice"), Not(HasSubstr("\x1b"))));
  const std::string key(1'000'000, 'k');
  EXPECT_LT(refusal("{\"" + key + "\": 1, \"" + key + "\": 2}").size(), 300U);
  EXPECT_LT(refusal("[\"" + key + "\" 1").size(), 500U);
}

TEST(Printable, EscapesControlsOfBothKinds) {
  EXPECT_EQ(printable("a\x1b\n\x7f"), "a\\x1b\\x0a\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "2J"),
            "\\xc2\\x9b2J");  // CSI of C1
  EXPECT_EQ(printable("\xC2\xA0\xC3\xA9"), "\xC2\xA0\xC3\xA9");
  EXPECT_EQ(printable(std::string(100, 'a')), std::string(80, 'a') + "...");
  EXPECT_EQ(printable(std::string(100, 'a'), 100), std::string(100, 'a'));
}

}  // namespace
}  // namespace bitlaw::data
