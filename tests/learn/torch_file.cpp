#include "stages/learn/torch_file.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "stages/learn/zip_file.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
namespace {

using Bytes = std::string;

Bytes little(std::uint64_t value, int bytes) {
  Bytes out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

Bytes text(const Bytes& s) {
  return "X" + little(s.size(), 4) + s;
}

Bytes number(std::int64_t value) {
  return "J" + little(static_cast<std::uint64_t>(value), 4);
}

Bytes tuple(const std::vector<std::int64_t>& values) {
  Bytes out = "(";
  for (const auto value : values) out += number(value);
  return out + "t";
}

struct View {
  Bytes name;
  std::vector<std::int64_t> shape, strides;
  std::int64_t offset = 0;
  Bytes key = "0";
  std::int64_t elements = 6;
  Bytes storage = "FloatStorage";
};

/// As torch.save writes one tensor; `old` has a view's place in its storage id.
Bytes tensor(const View& view, bool old = false) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + view.storage +
         "\n" + text(view.key) + text("cpu") + number(view.elements) + (old ? "N" : "") + "tQ" +
         number(view.offset) + tuple(view.shape) + tuple(view.strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

Bytes dict(const std::vector<View>& views, bool old = false) {
  Bytes out = "ccollections\nOrderedDict\n)R(";
  for (const View& view : views) out += text(view.name) + tensor(view, old);
  return out + "u}" + text("_metadata") + "}sb";
}

Bytes pickle(const Bytes& body) {
  return "\x80\x02" + body + ".";
}

/// Stored entries; with `zip64` all figures stand in the extra field and the 64-bit end. `crc` is
/// the checksum of each; 0 = none.
Bytes zip(const std::vector<std::pair<Bytes, Bytes>>& entries, bool zip64 = false,
          std::uint32_t crc = 0) {
  Bytes out, directory;
  for (const auto& [name, content] : entries) {
    const std::uint64_t at = out.size();
    out += "PK\x03\x04" + Bytes(22, '\0') + little(name.size(), 2) + little(0, 2) + name + content;
    const std::uint64_t size = zip64 ? 0xffffffff : content.size();
    const Bytes extra = zip64 ? little(1, 2) + little(24, 2) + little(content.size(), 8) +
                                    little(content.size(), 8) + little(at, 8)
                              : "";
    directory += "PK\x01\x02" + Bytes(12, '\0') + little(crc, 4) + little(size, 4) +
                 little(size, 4) + little(name.size(), 2) + little(extra.size(), 2) +
                 Bytes(10, '\0') + little(zip64 ? 0xffffffff : at, 4) + name + extra;
  }
  const std::uint64_t begin = out.size();
  out += directory;
  if (zip64) {
    const std::uint64_t end64 = out.size();
    out += "PK\x06\x06" + Bytes(28, '\0') + little(entries.size(), 8) +
           little(directory.size(), 8) + little(begin, 8);
    out += "PK\x06\x07" + little(0, 4) + little(end64, 8) + little(1, 4);
  }
  return out + "PK\x05\x06" + Bytes(4, '\0') + little(zip64 ? 0xffff : entries.size(), 2) +
         little(zip64 ? 0xffff : entries.size(), 2) + little(directory.size(), 4) +
         little(zip64 ? 0xffffffff : begin, 4) + little(0, 2);
}

/// 0, 1, 2, …
Bytes floats(int count) {
  Bytes out;
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    out.append(reinterpret_cast<const char*>(&value), 4);
  }
  return out;
}

Bytes new_file(const Bytes& body, bool zip64 = false) {
  return zip({{"model/data.pkl", pickle(body)},
              {"model/byteorder", "little"},
              {"model/data/0", floats(6)},
              {"model/version", "3\n"}},
             zip64);
}

Bytes old_file(const std::vector<View>& views) {
  return pickle("\x8a\x0a" + Bytes("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) +
         pickle("M\xe9\x03") + pickle("}" + text("little_endian") + "\x88s") +
         pickle(dict(views, true)) + pickle("](" + text("0") + "e") + little(6, 8) + floats(6);
}

StateDict parse(const Bytes& file) {
  return parse_torch_file({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()},
                          "w.pth");
}

std::vector<float> values(const StateDict& state, const Bytes& name) {
  const TensorBytes& bytes = state.tensors().find(name)->second;
  std::vector<float> out(bytes.bytes.size() / 4);
  std::memcpy(out.data(), bytes.bytes.data(), bytes.bytes.size());
  return out;
}

const View kPlain{"fc.weight", {2, 3}, {3, 1}};

}  // namespace

BOOST_AUTO_TEST_SUITE(torch_file)

BOOST_AUTO_TEST_CASE(reads_both_formats) {
  for (const Bytes& file :
       {new_file(dict({kPlain})), new_file(dict({kPlain}), true), old_file({kPlain})}) {
    const StateDict state = parse(file);
    BOOST_TEST(state.tensors().size() == 1u);
    BOOST_TEST(
        (state.tensors().find("fc.weight")->second.shape == std::vector<std::int64_t>{2, 3}));
    BOOST_TEST((values(state, "fc.weight") == std::vector<float>{0, 1, 2, 3, 4, 5}));
  }
}

BOOST_AUTO_TEST_CASE(strides_offsets_and_names) {
  const StateDict state = parse(new_file(dict({{"_orig_mod.a", {3, 2}, {1, 3}},
                                               {"module._orig_mod.b", {2}, {2}, 1},
                                               {"x._orig_mod.c", {}, {}, 5},
                                               {"none", {0, 4}, {4, 1}}})));
  BOOST_TEST((values(state, "a") == std::vector<float>{0, 3, 1, 4, 2, 5}));
  BOOST_TEST((values(state, "b") == std::vector<float>{1, 3}));
  BOOST_TEST((values(state, "x.c") == std::vector<float>{5}));
  BOOST_TEST(values(state, "none").empty());
}

BOOST_AUTO_TEST_CASE(nested_state_dicts_and_parameters) {
  for (const char* key : {"state_dict", "model_state_dict", "model"}) {
    const Bytes body = "}(" + text("epoch") + "K\x05" + text(key) + dict({kPlain}) + "u";
    BOOST_TEST(parse(new_file(body)).tensors().size() == 1u);
  }
  const Bytes parameter =
      "}" + text("w") + "ctorch._utils\n_rebuild_parameter\n(" + tensor(kPlain) + "\x88}tRs";
  BOOST_TEST(values(parse(new_file(parameter)), "w").size() == 6u);
}

BOOST_AUTO_TEST_CASE(nothing_is_run) {
  const Bytes evil = "cos\nsystem\n(" + text("touch /tmp/no") + "tR";
  expect_error([&] { parse(new_file(evil)); }, "w.pth: asks for 'os.system'");
  expect_error([&] { parse(new_file(text("builtins") + text("eval") + "\x93")); },
               "asks for 'builtins.eval'");
  expect_error([&] { parse(pickle(evil)); }, "asks for 'os.system'");
  expect_error([&] { parse(new_file("c__main__\nNet\n)R")); }, "'__main__.Net'");
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_a_sentence) {
  const auto with = [](const View& view) { return [=] { parse(new_file(dict({view}))); }; };
  expect_error(with({"w", {2, 3}, {3, 1}, 1}), "reaches beyond its data");
  expect_error(with({"w", {2, 3}, {4, 1}}), "reaches beyond its data");
  expect_error(with({"w", {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0}}), "reaches beyond its data");
  expect_error(with({"w", {-2, 3}, {3, 1}}), "reaches beyond its data");
  expect_error(with({"w", {2}, {-1}, 3}), "reaches beyond its data");
  expect_error(with({"w", {2}, {1}, 0, "7"}), "has no data");
  expect_error(with({"w", {2}, {1}, 0, "0", 60}), "less data than it should");
  expect_error(with({"w", {2}, {1}, 0, "0", 6, "BoolStorage"}), "asks for 'torch.BoolStorage'");
  expect_error([] { parse(new_file("K\x05")); }, "holds no state dict");
  expect_error([] { parse(new_file("}" + text("epoch") + "K\x05s")); }, "'epoch' is not a tensor");
  expect_error([] { parse(zip({{"a.txt", "x"}})); }, "not one of torch.save");
  expect_error([] { parse("hello world"); }, "neither a file of torch.save");
  expect_error([] { parse(pickle("K\x05")); }, "not one of torch.save");
  expect_error([] { parse(""); }, "is empty");
  expect_error([] { parse(new_file(dict({kPlain, kPlain}))); }, "two tensors called 'fc.weight'");
}

BOOST_AUTO_TEST_CASE(checksums_are_checked_where_there_are_some) {
  const std::uint32_t known = 0xcbf43926;  // Of "123456789", as CRC-32 is told by.
  const auto open = [](const Bytes& file) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(file.data());
    return read_zip({data, file.size()}, "w.pth").size();
  };
  BOOST_TEST(open(zip({{"x/data/0", "123456789"}}, false, known)) == 1u);
  BOOST_TEST(open(zip({{"x/data/0", "123456788"}})) == 1u);
  expect_error(
      [&] {
        open(zip({{"x/data/0", "123456788"}}, true, known));
      },
      "w.pth: is damaged: the checksum of 'x/data/0' in it is wrong");
}

BOOST_AUTO_TEST_CASE(a_small_file_does_not_ask_for_all_memory) {
  // One tuple of a thousand numbers, recalled as shape and strides of every tensor.
  Bytes body = tuple(std::vector<std::int64_t>(1000, 1)) + "q" + little(0, 1) + "0}(";
  for (int i = 0; i < 1500; ++i) {
    body += text("w" + std::to_string(i)) + "ctorch._utils\n_rebuild_tensor_v2\n((" +
            text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(6) +
            "tQ" + number(0) + "h" + little(0, 1) + "h" + little(0, 1) +
            "\x89"
            "ccollections\nOrderedDict\n)RtR";
  }
  expect_error([&] { parse(new_file(body + "u")); }, "holds too many values");
  // The same with a list of pairs for many dictionaries.
  body = "](";
  for (int i = 0; i < 1000; ++i) body += text("a") + text("b") + "\x86";
  body += "eq" + little(0, 1) + "0]";
  for (int i = 0; i < 1500; ++i) {
    body += "ccollections\nOrderedDict\nh" + little(0, 1) + "\x85Ra";
  }
  expect_error([&] { parse(new_file(body)); }, "holds too many values");
}

/// Cut anywhere and any byte changed: an Error or tensors of a sound size, never a crash.
BOOST_AUTO_TEST_CASE(damage_never_crashes) {
  int refused = 0;
  const auto attempt = [&](const Bytes& file) {
    try {
      const StateDict state = parse(file);
      for (const auto& [name, bytes] : state.tensors()) BOOST_TEST(bytes.bytes.size() < 1000);
    } catch (const Error&) {
      ++refused;
    }
  };
  for (const Bytes& file :
       {new_file(dict({kPlain})), new_file(dict({kPlain}), true), old_file({kPlain})}) {
    for (std::size_t cut = 0; cut < file.size(); ++cut) {
      const int before = refused;
      attempt(file.substr(0, cut));
      BOOST_TEST(refused == before + 1, "cut at " << cut);
    }
    for (std::size_t at = 0; at < file.size(); ++at) {
      for (const int flip : {0x01, 0x80, 0xff, 0x55}) {
        Bytes damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        attempt(damaged);
      }
    }
  }
  BOOST_TEST(refused > 2000);
  attempt(pickle(Bytes(200'000, ')') + Bytes(200'000, '\x85')));  // Deep, not too deep.
  attempt(
      "\x80\x02"
      "]q" +
      Bytes(1, '\0') + Bytes("h\0a.", 4));  // A list in itself.
}

BOOST_AUTO_TEST_CASE(safetensors_too) {
  TempFolder temp;
  const auto file = temp.path() / "any.name";
  const Bytes data = floats(2);
  write_safetensors(
      file, {{"_orig_mod.w",
              {TensorType::f32, {2}, {reinterpret_cast<const std::uint8_t*>(data.data()), 8}}}});
  BOOST_TEST((values(read_state_dict(file), "w") == std::vector<float>{0, 1}));
  write_text(file, new_file(dict({kPlain})));
  BOOST_TEST(read_state_dict(file).tensors().size() == 1u);
  expect_error([&] { read_state_dict(temp.path() / "none"); }, "none");
}

/// Files that PyTorch itself wrote, where there is a Python that has it (CIFARPIPE_PYTHON).
BOOST_AUTO_TEST_CASE(files_of_torch_save) {
  const char* python = std::getenv("CIFARPIPE_PYTHON");
  if (!python) {
    BOOST_TEST_MESSAGE("skipped: CIFARPIPE_PYTHON names no Python with torch");
    return;
  }
  TempFolder temp;
  const Bytes code =
      "import torch; from collections import OrderedDict as O; "
      "t = torch.arange(24.).reshape(2, 3, 4); "
      "d = O([('_orig_mod.a', t), ('b', t.permute(2, 0, 1)), ('c', t[1, 1:, ::2]), "
      "('d', torch.tensor(7)), ('e', t.bfloat16()), ('f', torch.nn.Parameter(t.half()))]); "
      "torch.save(d, 'new.pth'); "
      "torch.save(d, 'old.pth', _use_new_zipfile_serialization=False); "
      "torch.save({'epoch': 3, 'state_dict': d}, 'nested.pth')";
  const Bytes command = "cd '" + temp.path().string() + "' && '" + python + "' -c \"" + code + "\"";
  BOOST_REQUIRE(std::system(command.c_str()) == 0);
  for (const char* name : {"new.pth", "old.pth", "nested.pth"}) {
    const StateDict state = read_state_dict(temp.path() / name);
    BOOST_TEST(state.tensors().size() == 6u);
    const auto b = values(state, "b");
    for (std::size_t i = 0; i < 24; ++i) {
      BOOST_TEST(values(state, "a")[i] == static_cast<float>(i));
      BOOST_TEST(b[i] == static_cast<float>(i % 6 * 4 + i / 6));
    }
    BOOST_TEST((values(state, "c") == std::vector<float>{16, 18, 20, 22}));
    BOOST_TEST(state.tensors().find("d")->second.bytes[0] == 7);
    BOOST_TEST((state.tensors().find("e")->second.type == TensorType::bf16));
    BOOST_TEST((state.tensors().find("f")->second.type == TensorType::f16));
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
