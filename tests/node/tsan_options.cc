// Thread sanitizer and gRPC: the distribution's gRPC, abseil, OpenSSL and protobuf are not
// instrumented, so the sanitizer sees their memory but not what orders it. Reports with one of them
// on a stack say nothing. That leaves the threads of our own: accept loop, resolver, graves,
// and whoever calls the transport.
#if defined(__SANITIZE_THREAD__)

extern "C" const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1"; }

extern "C" const char* __tsan_default_suppressions() {
  return "race:grpc\n"
         "race:absl\n"
         "race:google::protobuf\n"
         "race:libcrypto\n"
         "race:libssl\n"
         // Links are made on one gRPC thread and used on another.
         "race:starling::node::PeerLink\n"
         "race:starling::node::DialVerdict\n"
         "race:starling::node::check_certificate\n";
}

#endif
