#pragma once
// Devices on one machine: a Linux network namespace for each, joined by a bridge that lies in a
// namespace of its own, so nothing of the machine's network is touched. Needs root and iproute2.
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace starling::testing {

class NetworkLab {
 public:
  // "" or why there can be no lab on this machine.
  static std::string obstacle();

  explicit NetworkLab(size_t devices);
  ~NetworkLab();  // with everything in it; processes there lose their network
  NetworkLab(const NetworkLab&) = delete;
  NetworkLab& operator=(const NetworkLab&) = delete;

  const std::string& name(size_t device) const { return names_.at(device); }
  static std::string address(size_t device);

  // Those on the far side reach each other only, and nobody reaches them, until heal().
  void part(const std::set<size_t>& far);
  void heal();
  // The device's only address is another from now on: IPv4 of the same network, or IPv6.
  void move(size_t device, const std::string& address);
  // Its network knows no multicast until unmute().
  void mute(size_t device);
  void unmute(size_t device);
  // To and from the device, with a short queue: what does not fit is lost.
  void limit(size_t device, int kbit_per_s);
  // Packets that did not fit there since, both ways.
  uint64_t lost(size_t device) const;

 private:
  std::string hub_;
  std::vector<std::string> names_;
};

}  // namespace starling::testing
