// The pickle machine on pickles written by hand: what it knows, what it refuses, and that nothing grows
// without end.
#include "data/formats/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/support/file_bytes.h"

namespace bitlaw::data {
namespace {

using test::little;
using test::message_of;
using testing::HasSubstr;

constexpr std::array<PickleGlobal, 6> kAllowed = {{{"m", "Dict", PickleUse::dict},
                                                   {"m", "Object", PickleUse::object},
                                                   {"m", "list", PickleUse::list},
                                                   {"m", "call", PickleUse::call},
                                                   {"m", "first", PickleUse::argument},
                                                   {"m", "value", PickleUse::value}}};

PickleGraph read(const std::string& body) {
  const std::string bytes = "\x80\x02" + body;
  return read_pickle(std::as_bytes(std::span(bytes)), kAllowed, "file");
}

std::string refusal(const std::string& body) {
  return message_of([&] { read(body); });
}

std::string text(const std::string& value) {
  return std::string("X").append(little(static_cast<std::uint32_t>(value.size()))).append(value);
}

// The graph as text; "*" where it is deeper than four levels.
std::string shown(const PickleGraph& graph, std::uint32_t index, int depth = 0) {
  const PickleNode& node = graph.nodes[index];
  std::string items;
  for (const std::uint32_t item : node.items) {
    items.append(items.empty() ? "" : " ").append(depth < 4 ? shown(graph, item, depth + 1) : "*");
  }
  switch (node.kind) {
    case PickleKind::none:
      return "None";
    case PickleKind::boolean:
      return node.integer == 1 ? "True" : "False";
    case PickleKind::integer:
      return std::to_string(node.integer);
    case PickleKind::real:
      return std::to_string(node.real);
    case PickleKind::text:
      return "'" + node.text + "'";
    case PickleKind::tuple:
      return "(" + items + ")";
    case PickleKind::list:
      return "[" + items + "]";
    case PickleKind::dict:
      return "{" + items + "}";
    case PickleKind::global:
      return "global" + std::to_string(node.integer);
    case PickleKind::call:
      return "call" + std::to_string(node.integer) + "(" + items + ")";
    case PickleKind::persistent:
      return "<" + items + ">";
    case PickleKind::opaque:
      break;
  }
  return "?";
}

std::string shown(const std::string& body) {
  const PickleGraph graph = read(body);
  return shown(graph, graph.root);
}

TEST(Pickle, Values) {
  EXPECT_EQ(shown("N."), "None");
  EXPECT_EQ(shown("(\x88\x89t."), "(True False)");
  EXPECT_EQ(shown("(K\xFFM\xFF\xFFJ\xFF\xFF\xFF\xFFt."), "(255 65535 -1)");
  EXPECT_EQ(shown(std::string("(\x8A\0\x8A\1\xFF\x8A\2\xFF\0t.", 12)), "(0 -1 255)");
  EXPECT_EQ(shown("\x8A\x08" + little(std::uint64_t{1} << 63U) + "."), "-9223372036854775808");
  EXPECT_EQ(shown("\x8A\x09" + std::string(9, '\x7F') + "."), "?");
  EXPECT_EQ(shown(std::string("G\x3F\xF8\0\0\0\0\0\0.", 10)), "1.500000");
  EXPECT_EQ(shown(text("ä") + "."), "'ä'");
  EXPECT_EQ(shown("\x8C\x02hi."), "'hi'");
}

TEST(Pickle, Containers) {
  EXPECT_EQ(shown("K\x01K\x02K\x03\x87."), "(1 2 3)");
  EXPECT_EQ(shown("K\x01K\x02\x86\x85."), "((1 2))");
  EXPECT_EQ(shown("(K\x01)t."), "(1 ())");
  EXPECT_EQ(shown("](K\x01K\x02"
                  "eK\x03"
                  "a."),
            "[1 2 3]");
  EXPECT_EQ(shown("}(K\x01K\x02uK\x03K\x04s."), "{1 2 3 4}");
  EXPECT_EQ(shown("\x8F(K\x01\x90."), "[1]");
}

TEST(Pickle, MemoAndSharing) {
  EXPECT_EQ(shown(std::string("(]q\0K\7"
                              "ah\0t.",
                              11)),
            "([7] [7])");
  EXPECT_EQ(shown(std::string("(]q\5h\5t.")), "([] [])");
  EXPECT_EQ(shown("(]r" + little(std::uint32_t{70000}) + "j" + little(std::uint32_t{70000}) + "t."),
            "([] [])");
  EXPECT_EQ(shown(std::string("(]\x94h\0t.", 7)), "([] [])");
  // A list that holds itself is one node.
  EXPECT_EQ(shown(std::string("]q\0h\0a.", 7)), "[[[[[*]]]]]");
}

TEST(Pickle, ObjectsOfTheAllowList) {
  EXPECT_EQ(shown("cm\nDict\n)R(K\x01K\x02u}K\x03K\x04sb."), "{1 2}");  // attributes are dropped
  EXPECT_EQ(shown("cm\nObject\n)\x81}K\x03K\x04sb."), "{3 4}");         // members are kept
  EXPECT_EQ(shown("cm\nlist\n](K\x01"
                  "e\x85R."),
            "[1]");
  EXPECT_EQ(shown("cm\ncall\nK\x01N\x86R."), "call3(1 None)");
  EXPECT_EQ(shown("cm\nfirst\nK\x01N\x86R."), "1");
  EXPECT_EQ(shown("cm\nvalue\n."), "global5");
  EXPECT_EQ(shown("\x8C\x01m\x8C\x05value\x93."), "global5");
  EXPECT_EQ(shown(text("key") + "Q."), "<'key'>");
}

TEST(PickleHostile, EverythingElseIsRefusedByNameAndByte) {
  EXPECT_THAT(refusal("cos\nsystem\n" + text("ls") + "\x85R."),
              HasSubstr("file: byte 2 of the pickle: it names 'os.system', which is not on the list"));
  EXPECT_THAT(refusal("Ncm\nvalu\n."), HasSubstr("byte 3 of the pickle: it names 'm.valu'"));
  EXPECT_THAT(refusal("\x8C\x02os\x8C\x06system\x93."), HasSubstr("'os.system'"));
  EXPECT_THAT(refusal("cm\nvalue\n)R."), HasSubstr("it calls 'm.value' in a way that is not read"));
  EXPECT_THAT(refusal("cm\nDict\nK\x01\x85R."), HasSubstr("'m.Dict' in a way"));
  EXPECT_THAT(refusal("cm\nlist\nK\x01\x85R."), HasSubstr("'m.list' in a way"));
  EXPECT_THAT(refusal("cm\nfirst\n)R."), HasSubstr("'m.first' in a way"));
  EXPECT_THAT(refusal("K\x01)R."), HasSubstr("no function"));
  EXPECT_THAT(refusal("cm\ncall\nK\x01R."), HasSubstr("no tuple of arguments"));
  EXPECT_THAT(refusal("}}b."), HasSubstr("the state of something that has none"));
  EXPECT_THAT(refusal("]}b."), HasSubstr("no dict"));
  EXPECT_THAT(refusal("cm\nObject\n)R]b."), HasSubstr("state"));
  // Every opcode that is not known, among them those that look classes up by themselves.
  constexpr std::string_view kKnown =
      "(.GJKMNQRX]abcehjqrstu})\x80\x81\x85\x86\x87\x88\x89\x8A\x8C\x8F\x90\x93\x94\x95";
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (kKnown.find(static_cast<char>(opcode)) == std::string_view::npos || opcode == 0x80) {
      EXPECT_THAT(refusal(std::string(1, static_cast<char>(opcode))),
                  HasSubstr("opcode " + std::to_string(opcode) + ", which is not on the list"));
    }
  }
}

TEST(PickleHostile, StacksThatAreEmptyAndPicklesThatDoNotEnd) {
  EXPECT_THAT(message_of([] { read_pickle({}, kAllowed, "file"); }), HasSubstr("ends inside an opcode"));
  EXPECT_THAT(refusal(""), HasSubstr("ends inside an opcode"));
  EXPECT_THAT(refusal("."), HasSubstr("ends with 0 values"));
  EXPECT_THAT(refusal("NN."), HasSubstr("ends with 2 values"));
  EXPECT_THAT(refusal("N.x"), HasSubstr("1 bytes left over"));
  EXPECT_THAT(refusal("(N."), HasSubstr("ends with 1 values"));
  EXPECT_THAT(refusal("X" + little(~std::uint32_t{0}) + "abc."), HasSubstr("ends inside an opcode"));
  EXPECT_THAT(refusal("cm"), HasSubstr("the name of a class does not end"));
  EXPECT_THAT(refusal("c" + std::string(300, 'm') + "\n"), HasSubstr("does not end"));
  for (const std::string body :
       {"a.", "e.", "s.", "u.", "t.", "\x85.", "\x87.", "R.", "b.", "Q.", "\x93.", "\x81."}) {
    EXPECT_THAT(refusal(body), HasSubstr("that is not there")) << body;
  }
  for (const std::string body : {"a.", "s.", "\x85.", "\x87.", "R.", "b.", "Q.", "\x93.", "\x81."}) {
    EXPECT_THAT(refusal("]](" + body), testing::Not("")) << body;  // what lies below a mark is out of reach
  }
  EXPECT_THAT(refusal("q" + std::string(1, '\0') + "."), HasSubstr("it remembers a value"));
  EXPECT_THAT(refusal("h\x07."), HasSubstr("it recalls value 7"));
  EXPECT_THAT(refusal("K\x01K\x02"
                      "a."),
              HasSubstr("no list"));
  EXPECT_THAT(refusal("](K\x01u."), HasSubstr("no dict"));
  EXPECT_THAT(refusal("}(K\x01u."), HasSubstr("a key of a dict has no value"));
  const auto version = [](const std::string& head) {
    return message_of([&] { read_pickle(std::as_bytes(std::span(head)), kAllowed, "file"); });
  };
  EXPECT_THAT(version("(lp0\n."), HasSubstr("the number of a protocol"));
  EXPECT_THAT(version(std::string("\x80\x01N.")), HasSubstr("of protocol 1"));
  EXPECT_THAT(version(std::string("\x80\x06N.")), HasSubstr("of protocol 6"));
}

TEST(PickleHostile, GrowthIsBounded) {
  // An object whose members are doubled by its own state: 2^40 items in 200 bytes.
  std::string doubling = "cm\nObject\n)R";
  doubling += std::string("q\0K\1K\2s", 7);
  for (int i = 0; i < 40; ++i) {
    doubling += std::string("h\0b", 3);
  }
  EXPECT_THAT(refusal(doubling + "."), HasSubstr("items in its containers"));
  // A list of 65536 items, copied again and again.
  std::string copying = "](" + std::string(65536, 'N') + "e\x85q\1";
  for (int i = 0; i < 1000; ++i) {
    copying += "cm\nlist\nh\1R";
  }
  EXPECT_THAT(refusal(copying + "."), HasSubstr("items in its containers"));
  EXPECT_THAT(refusal(std::string(kMostPickleNodes, ']') + "."), HasSubstr("more than 2097152 values"));
  EXPECT_THAT(refusal("N" + std::string(kMostPickleNodes + 2, '\x94') + "."), HasSubstr("or too many"));
  EXPECT_THAT(refusal(std::string(kLargestPickle, 'N')), HasSubstr("are the most"));
  EXPECT_THAT(refusal(std::string(9'000'000, 'N')), HasSubstr("items in its containers"));
  EXPECT_THAT(refusal(std::string(70'000, '(')), HasSubstr("more than 65536 containers are open"));
  // Deep nesting costs no stack.
  EXPECT_EQ(refusal("N" + std::string(1'000'000, '\x85') + "."), "");
}

TEST(PickleHostile, EveryTruncationIsRefused) {
  const std::string good = "}q\1(" + text("a") + "cm\ncall\n(K\1]" + text("b") + "Qt\x85RcM\xFF\xFF";
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(refusal(good.substr(0, size)), "") << size;
  }
}

}  // namespace
}  // namespace bitlaw::data
