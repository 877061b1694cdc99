#include "model/shape.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <set>

#include "model/parameters.h"
#include "tests/model/example.h"

namespace starling::model {
namespace {

// FNV-1a over the bits of the values.
uint64_t fingerprint(const std::vector<float>& values) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ (bits >> shift & 0xff)) * 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace

TEST_CASE("presets have the sizes they are named for") {
  const auto count = [](std::string_view name) { return parameter_count(*shape_of_preset(name)); };
  CHECK(count("demo") == 160352);
  CHECK(count("tiny") == 1164480);
  CHECK(count("small") == 5220416);
  CHECK(count("base") == 20254208);
  CHECK(preset_names().size() == 4);
  CHECK(!shape_of_preset("huge").has_value());
  for (const std::string_view name : preset_names()) CHECK(is_valid(*shape_of_preset(name)));
}

TEST_CASE("regions lie in order without gaps and their tensors fill them") {
  for (const std::string_view name : preset_names()) {
    const Shape shape = *shape_of_preset(name);
    const RegionTable table = region_table(shape);
    uint32_t offset = 0;
    std::set<std::string> names;
    for (size_t i = 0; i < table.size(); ++i) {
      CHECK(table[i].id == i);
      CHECK(table[i].offset == offset);
      CHECK(table[i].is_dense() == (table[i].kind == RegionKind::selection));
      offset += table[i].count;
      names.insert(region_name(table[i]));
    }
    CHECK(offset == parameter_count(shape));
    CHECK(names.size() == table.size());
    uint32_t place = 0;
    for (const Tensor& tensor : tensors(shape)) {
      CHECK(tensor.offset == place);
      place += tensor.count;
      const Region& region = table[tensor.region];
      CHECK(tensor.offset >= region.offset);
      CHECK(place <= region.offset + region.count);
    }
    CHECK(place == offset);
  }
  const RegionTable table = region_table(*shape_of_preset("demo"));
  CHECK(region_name(table[0]) == "embedding");
  CHECK(region_name(table[1]) == "mixing.0");
  CHECK(region_name(table[13]) == "mlp.0.11");
  CHECK(region_name(table[18]) == "selection.0");
  CHECK(region_name(table[19]) == "mixing.1");
}

TEST_CASE("the description tells shapes apart") {
  const Shape tiny = *shape_of_preset("tiny");
  Shape other = tiny;
  CHECK(describe(other) == describe(tiny));
  other.context_tau = 32;
  CHECK(describe(other) != describe(tiny));
  for (const char* field : {"selection=token", "decay=fixed", "hysteresis=0.1"})
    CHECK(describe(*shape_from(field)) != describe(tiny));
}

TEST_CASE("a shape is read from a preset and what differs from it") {
  const auto shape = shape_from(
      "small,regions=32,selected=4,chunk=32,selection=token,decay=fixed,hysteresis=0.1,mlp=1024");
  REQUIRE(shape.has_value());
  Shape expected = *shape_of_preset("small");
  expected.regions = 32, expected.selected = 4, expected.chunk = 32, expected.mlp_width = 1024;
  expected.selection = Selection::token, expected.decay = Decay::fixed, expected.hysteresis = 0.1f;
  CHECK(*shape == expected);
  CHECK(*shape_from(describe(*shape)) == expected);
  for (const std::string_view name : preset_names())
    CHECK(*shape_from(name) == *shape_of_preset(name));
  CHECK(*shape_from("") == *shape_of_preset("tiny"));
  CHECK(shape_from("awake=2, tau=32")->always_awake == 2);
  CHECK(shape_from("awake=2, tau=32")->context_tau == 32);
}

TEST_CASE("a text that is no shape is refused with what is wrong in it") {
  const auto fault = [](std::string_view text) {
    const auto shape = shape_from(text);
    return shape ? std::string() : shape.error();
  };
  CHECK(fault("huge") == "'huge' is no preset; the presets are demo, tiny, small, base");
  CHECK(fault("tiny,small") == "'small' is not of the form field=value");
  CHECK(fault("tiny,depth=3") ==
        "a shape has no field 'depth'; it has width, layers, channels, mlp_width, regions, "
        "always_awake, selected, chunk, context_tau, selection, decay, hysteresis");
  CHECK(fault("tiny,=3").find("a shape has no field ''") == 0);
  CHECK(fault("tiny,layers=3x") == "layers is '3x', which is not a whole number");
  CHECK(fault("tiny,layers=-1") == "layers is '-1', which is not a whole number");
  CHECK(fault("tiny,layers=0") == "layers is 0, the limits are 1 and 128");
  CHECK(fault("tiny,regions=65") == "regions is 65, the limits are 1 and 64");
  CHECK(fault("tiny,regions=13") == "mlp_width 384 cannot be divided into 13 equal regions");
  CHECK(fault("tiny,channels=255") == "channels is 255, which is odd");
  CHECK(fault("tiny,awake=0,selected=0").find("no region would ever be awake") == 0);
  CHECK(fault("selection=slow") == "selection is 'slow', neither context nor token");
  CHECK(fault("decay=") == "decay is '', neither data nor fixed");
  CHECK(fault("hysteresis=-0") == "hysteresis is '-0', which is not a number from 0 to 1");
  CHECK(fault("hysteresis=nan") == "hysteresis is not a number from 0 to 1");
  CHECK(fault("hysteresis=1.5") == "hysteresis is not a number from 0 to 1");
  CHECK(fault("width=8192,layers=128,channels=16384") ==
        "the shape has 69963163648 parameters, the limit is 268435456");
}

TEST_CASE("fixed decays have no gate and do not learn") {
  const Shape data = *shape_from("demo"), fixed = *shape_from("demo,decay=fixed");
  CHECK(parameter_count(data) - parameter_count(fixed) ==
        size_t{data.layers} * data.channels * data.width);
  for (const Tensor& tensor : tensors(fixed)) {
    CHECK(tensor.name != "Wf");
    CHECK((tensor.name == "fb" ? tensor.learning == Learning::none : true));
  }
}

TEST_CASE("genesis is the same bits on every machine") {
  CHECK(fingerprint(genesis(*shape_of_preset("demo"), 1)) == 4229466753251733681ULL);
  CHECK(fingerprint(genesis(*shape_of_preset("tiny"), 42)) == 1339727523854272504ULL);
  CHECK(fingerprint(genesis(example::odd_shape(), 7)) == 8964921615697669485ULL);
}

TEST_CASE("genesis lies on the grid of the fixed-point base and has the intended spread") {
  const Shape shape = *shape_of_preset("demo");
  const std::vector<float> parameters = genesis(shape, 1);
  for (const float value : parameters) {
    const double scaled = static_cast<double>(value) * 16777216.0;
    REQUIRE(scaled == std::floor(scaled));
    REQUIRE(std::abs(value) < 8.0f);
  }
  double squares = 0;
  const size_t count = size_t{vocabulary} * shape.width;
  for (size_t i = 0; i < count; ++i) squares += static_cast<double>(parameters[i] * parameters[i]);
  CHECK(std::sqrt(squares / static_cast<double>(count) * shape.width) ==
        doctest::Approx(1).epsilon(0.02));
  // Time constants: sigmoid(fb) = exp(-1/tau), from 2 to 256 tokens, then from 1 to 32.
  const auto layer = Layout(shape).layer(parameters.data(), 0);
  const auto tau = [&](size_t c) {
    return -1 / std::log(1 / (1 + std::exp(-static_cast<double>(layer.fb[c]))));
  };
  CHECK(tau(0) == doctest::Approx(2).epsilon(1e-5));
  CHECK(tau(shape.channels / 2 - 1) == doctest::Approx(256).epsilon(1e-4));
  CHECK(tau(shape.channels / 2) == doctest::Approx(1).epsilon(1e-5));
  CHECK(tau(shape.channels - 1) == doctest::Approx(32).epsilon(1e-4));
  CHECK(genesis(shape, 1) != genesis(shape, 2));
}

}  // namespace starling::model
