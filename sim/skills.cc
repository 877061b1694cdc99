#include "sim/skills.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>

#include "model/rng.h"

namespace starling::sim {
namespace {

constexpr uint32_t numbers_end = 400;

struct Question {
  std::string text;
  std::string answer;
  bool is_underivable = false;  // follows from no other question: always taught
};

std::string_view german_below_twenty(uint32_t number) {
  constexpr std::array<std::string_view, 20> words = {
      "null",     "eins",     "zwei",     "drei",     "vier",     "fünf",    "sechs",
      "sieben",   "acht",     "neun",     "zehn",     "elf",      "zwölf",   "dreizehn",
      "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn"};
  return words[number];
}

std::string_view french_below_twenty(uint32_t number) {
  constexpr std::array<std::string_view, 20> words = {
      "zéro",     "un",     "deux",  "trois",    "quatre",   "cinq",    "six",
      "sept",     "huit",   "neuf",  "dix",      "onze",     "douze",   "treize",
      "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf"};
  return words[number];
}

std::string_view spanish_below_thirty(uint32_t number) {
  constexpr std::array<std::string_view, 30> words = {
      "cero",         "uno",         "dos",        "tres",        "cuatro",     "cinco",
      "seis",         "siete",       "ocho",       "nueve",       "diez",       "once",
      "doce",         "trece",       "catorce",    "quince",      "dieciséis",  "diecisiete",
      "dieciocho",    "diecinueve",  "veinte",     "veintiuno",   "veintidós",  "veintitrés",
      "veinticuatro", "veinticinco", "veintiséis", "veintisiete", "veintiocho", "veintinueve"};
  return words[number];
}

std::string_view chinese_digit(uint32_t digit) {
  constexpr std::array<std::string_view, 10> words = {"ling", "yi",  "er", "san", "si",
                                                      "wu",   "liu", "qi", "ba",  "jiu"};
  return words[digit];
}

std::string german_below_hundred(uint32_t number) {
  if (number < 20) return std::string(german_below_twenty(number));
  constexpr std::array<std::string_view, 10> tens = {"",        "",        "zwanzig", "dreißig",
                                                     "vierzig", "fünfzig", "sechzig", "siebzig",
                                                     "achtzig", "neunzig"};
  const uint32_t unit = number % 10;
  const std::string ten(tens[number / 10]);
  if (unit == 0) return ten;
  return (unit == 1 ? "ein" : std::string(german_below_twenty(unit))) + "und" + ten;
}

std::string french_below_hundred(uint32_t number) {
  constexpr std::array<std::string_view, 7> tens = {"",         "",          "vingt",   "trente",
                                                    "quarante", "cinquante", "soixante"};
  if (number < 20) return std::string(french_below_twenty(number));
  if (number == 80) return "quatre-vingts";
  if (number > 80) return "quatre-vingt-" + std::string(french_below_twenty(number - 80));
  // 70 to 79 count on from sixty: soixante-dix, soixante-et-onze.
  const uint32_t ten = std::min(number / 10, 6u);
  const uint32_t rest = number - 10 * ten;
  const std::string word(tens[ten]);
  if (rest == 0) return word;
  const bool has_et = rest == 1 || rest == 11;
  return word + (has_et ? "-et-" : "-") + std::string(french_below_twenty(rest));
}

std::string spanish_below_hundred(uint32_t number) {
  if (number < 30) return std::string(spanish_below_thirty(number));
  constexpr std::array<std::string_view, 10> tens = {
      "", "", "", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"};
  const std::string ten(tens[number / 10]);
  const uint32_t unit = number % 10;
  return unit == 0 ? ten : ten + " y " + std::string(spanish_below_thirty(unit));
}

std::string morse(std::string_view word) {
  constexpr std::array<std::string_view, 26> codes = {
      ".-",   "-...", "-.-.", "-..",  ".",   "..-.", "--.",  "....", "..",
      ".---", "-.-",  ".-..", "--",   "-.",  "---",  ".--.", "--.-", ".-.",
      "...",  "-",    "..-",  "...-", ".--", "-..-", "-.--", "--.."};
  std::string answer;
  for (const char letter : word) {
    if (!answer.empty()) answer += ' ';
    answer += codes[static_cast<size_t>(letter - 'a')];
  }
  return answer;
}

std::string nato(std::string_view word) {
  constexpr std::array<std::string_view, 26> names = {
      "alfa",    "bravo", "charlie", "delta",  "echo",     "foxtrot", "golf",   "hotel",  "india",
      "juliett", "kilo",  "lima",    "mike",   "november", "oscar",   "papa",   "quebec", "romeo",
      "sierra",  "tango", "uniform", "victor", "whiskey",  "x-ray",   "yankee", "zulu"};
  std::string answer;
  for (const char letter : word) {
    if (!answer.empty()) answer += ' ';
    answer += names[static_cast<size_t>(letter - 'a')];
  }
  return answer;
}

std::string reversed(std::string_view word) { return {word.rbegin(), word.rend()}; }

std::vector<Question> number_questions(uint32_t begin, std::string (*answer)(uint32_t),
                                       const std::function<bool(uint32_t)>& is_underivable) {
  std::vector<Question> questions;
  for (uint32_t number = begin; number < numbers_end; ++number) {
    questions.push_back({std::to_string(number), answer(number), is_underivable(number)});
  }
  return questions;
}

std::vector<Question> word_questions(uint32_t letters, std::string (*answer)(std::string_view)) {
  uint32_t count = 1;
  for (uint32_t i = 0; i < letters; ++i) count *= 26;
  std::vector<Question> questions;
  questions.reserve(count);
  for (uint32_t index = 0; index < count; ++index) {
    std::string word(letters, 'a');
    uint32_t rest = index;
    for (char& letter : word) {
      letter = static_cast<char>('a' + rest % 26);
      rest /= 26;
    }
    questions.push_back({word, answer(word)});
  }
  return questions;
}

std::vector<Question> questions_of(std::string_view name) {
  const auto below = [](uint32_t bound) {
    return [bound](uint32_t number) { return number < bound; };
  };
  if (name == "de") return number_questions(0, german_number, below(20));
  if (name == "fr") {
    return number_questions(0, french_number, [](uint32_t n) {
      return n < 20 || n == 71 || n == 80 || n == 81 || n == 91 || (n >= 100 && n % 100 == 0);
    });
  }
  if (name == "es")
    return number_questions(0, spanish_number, [](uint32_t n) { return n < 30 || n == 100; });
  if (name == "zh") return number_questions(0, chinese_number, below(20));
  if (name == "roman") return number_questions(1, roman_number, below(10));
  if (name == "morse") return word_questions(3, morse);
  if (name == "nato") return word_questions(3, nato);
  assert(name == "rev");
  return word_questions(4, reversed);
}

// FNV-1a over skill, question and seed, finished by the generator's own mixing.
uint64_t question_hash(std::string_view skill, std::string_view question, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ seed;
  for (const std::string_view part : {skill, std::string_view(" "), question}) {
    for (const char byte : part) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3ULL;
  }
  return Rng(hash).next();
}

}  // namespace

std::string german_number(uint32_t number) {
  if (number < 100) return german_below_hundred(number);
  const uint32_t hundreds = number / 100;
  const std::string word =
      (hundreds == 1 ? "ein" : std::string(german_below_twenty(hundreds))) + "hundert";
  return number % 100 == 0 ? word : word + german_below_hundred(number % 100);
}

std::string french_number(uint32_t number) {
  if (number < 100) return french_below_hundred(number);
  const uint32_t hundreds = number / 100;
  const std::string word =
      (hundreds == 1 ? "" : std::string(french_below_twenty(hundreds)) + "-") + "cent";
  if (number % 100 == 0) return hundreds == 1 ? word : word + "s";
  return word + "-" + french_below_hundred(number % 100);
}

std::string spanish_number(uint32_t number) {
  if (number < 100) return spanish_below_hundred(number);
  if (number == 100) return "cien";
  constexpr std::array<std::string_view, 4> hundreds = {"", "ciento", "doscientos", "trescientos"};
  const std::string word(hundreds[number / 100]);
  return number % 100 == 0 ? word : word + " " + spanish_below_hundred(number % 100);
}

std::string chinese_number(uint32_t number) {
  const uint32_t hundred = number / 100, ten = number / 10 % 10, unit = number % 10;
  const auto digit = [](uint32_t value) { return std::string(chinese_digit(value)); };
  if (number < 10) return digit(number);
  std::string words;
  if (hundred > 0) words = digit(hundred) + " bai";
  if (hundred > 0 && ten == 0 && unit > 0) words += " ling";
  // Ten is "shi" alone but "yi shi" behind a hundred.
  if (ten > 0)
    words += (hundred == 0 && ten == 1 ? "" : (hundred > 0 ? " " : "") + digit(ten) + " ") + "shi";
  if (unit > 0) words += " " + digit(unit);
  return words;
}

std::string roman_number(uint32_t number) {
  struct Numeral {
    uint32_t value;
    std::string_view letters;
  };
  constexpr std::array<Numeral, 9> numerals = {{{100, "C"},
                                                {90, "XC"},
                                                {50, "L"},
                                                {40, "XL"},
                                                {10, "X"},
                                                {9, "IX"},
                                                {5, "V"},
                                                {4, "IV"},
                                                {1, "I"}}};
  std::string answer;
  for (const Numeral& numeral : numerals) {
    for (; number >= numeral.value; number -= numeral.value) answer += numeral.letters;
  }
  return answer;
}

std::vector<std::string_view> skill_names() {
  return {"de", "fr", "es", "zh", "roman", "morse", "nato", "rev"};
}

Skill make_skill(std::string_view name, uint64_t seed) {
  struct Ranked {
    uint64_t hash;
    Question question;
  };
  std::vector<Ranked> derivable;
  Skill skill{.name = std::string(name), .training = {}, .test = {}};
  const auto pair_of = [&](const Question& question) {
    return model::Pair{.prompt = skill.name + " " + question.text + ">", .answer = question.answer};
  };
  for (Question& question : questions_of(name)) {
    if (question.is_underivable) {
      skill.training.push_back(pair_of(question));
    } else {
      const uint64_t hash = question_hash(name, question.text, seed);
      derivable.push_back({hash, std::move(question)});
    }
  }
  // The fifth with the smallest hashes is held out; the order by hash is random, so that prefixes
  // are samples.
  std::sort(derivable.begin(), derivable.end(), [](const Ranked& a, const Ranked& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.question.text < b.question.text;
  });
  const size_t held_out = derivable.size() / 5;
  for (size_t i = 0; i < std::min(held_out, test_pairs_max); ++i) {
    skill.test.push_back(pair_of(derivable[i].question));
  }
  for (size_t i = held_out; i < derivable.size() && skill.training.size() < training_pairs_max;
       ++i) {
    skill.training.push_back(pair_of(derivable[i].question));
  }
  return skill;
}

std::string to_tsv(const std::vector<model::Pair>& pairs) {
  std::string lines;
  for (const model::Pair& pair : pairs) lines += pair.prompt + "\t" + pair.answer + "\n";
  return lines;
}

}  // namespace starling::sim
