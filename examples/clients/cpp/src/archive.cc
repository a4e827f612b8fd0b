#include "archive.h"

#include <google/protobuf/descriptor.h>

#include <iterator>
#include <nlohmann/json.hpp>

namespace {

// Which calls may be sent again when the server was not there to answer: those that the contract marks as without side effects.
std::string service_config() {
  auto reads = nlohmann::json::array();
  for (const char* name : {osa::ServerService::service_full_name(), osa::ConventionService::service_full_name(),
                           osa::DepositionService::service_full_name(), osa::RunService::service_full_name(),
                           osa::FeatureService::service_full_name()}) {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    for (int i = 0; i < service->method_count(); ++i) {
      if (service->method(i)->options().idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS) {
        reads.push_back({{"service", name}, {"method", service->method(i)->name()}});
      }
    }
  }
  nlohmann::json retry = {{"maxAttempts", 4},
                          {"initialBackoff", "0.2s"},
                          {"maxBackoff", "2s"},
                          {"backoffMultiplier", 2},
                          {"retryableStatusCodes", {"UNAVAILABLE"}}};
  nlohmann::json config = {{"methodConfig", {{{"name", reads}, {"retryPolicy", retry}}}}};
  return config.dump();
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(service_config());
  // A connection that broke without a word is noticed within 30 seconds, also in the middle of a long watch: gRPC 1.51 would ask only twice
  // while nothing else is sent. The server does not like to be asked more often than every 15 seconds.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Channels to one address share a connection, which then outlives each of them. Here each is to have its own, to be able to cut it.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // grpc::SslCredentials({}) with TLS.
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::string name_of(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {
      "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
      "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};
  auto number = static_cast<std::size_t>(code);
  return number < std::size(kNames) ? kNames[number] : "UNKNOWN";
}

Archive::Archive(const std::string& address) {
  auto channel = open_channel(address);
  server = osa::ServerService::NewStub(channel);
  conventions = osa::ConventionService::NewStub(channel);
  depositions = osa::DepositionService::NewStub(channel);
  runs = osa::RunService::NewStub(channel);
  features = osa::FeatureService::NewStub(channel);
}

RpcError::RpcError(const grpc::Status& status) : std::runtime_error(name_of(status.error_code()) + ": " + status.error_message()), code_(status.error_code()) {
  details_.ParseFromString(status.error_details());  // empty when the transport refused the call, not the server
}

std::vector<std::string> RpcError::fields() const {
  std::vector<std::string> fields;
  if (auto bad = detail<google::rpc::BadRequest>()) {
    for (const auto& violation : bad->field_violations()) fields.push_back(violation.field());
  }
  std::sort(fields.begin(), fields.end());
  return fields;
}
