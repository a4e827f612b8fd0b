// A connection to an archive, its calls, and why they are refused.
#pragma once

#include <google/protobuf/generated_enum_reflection.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "opensciencearchive/v1/convention_service.grpc.pb.h"
#include "opensciencearchive/v1/deposition_service.grpc.pb.h"
#include "opensciencearchive/v1/feature_service.grpc.pb.h"
#include "opensciencearchive/v1/run_service.grpc.pb.h"
#include "opensciencearchive/v1/server_service.grpc.pb.h"

namespace osa = opensciencearchive::v1;

// A connection, made with the first call and closed with the object. It may be used by any number of threads.
struct Archive {
  explicit Archive(const std::string& address);

  std::unique_ptr<osa::ServerService::Stub> server;
  std::unique_ptr<osa::ConventionService::Stub> conventions;
  std::unique_ptr<osa::DepositionService::Stub> depositions;
  std::unique_ptr<osa::RunService::Stub> runs;
  std::unique_ptr<osa::FeatureService::Stub> features;
};

// The code's name, for example FAILED_PRECONDITION, which gRPC for C++ does not know.
std::string name_of(grpc::StatusCode code);

// The name of an enum's value in the contract. Enums are open: a value of a newer contract comes as its number and has no name here, so a
// `switch` over an enum needs a default.
template <typename Enum>
std::string enum_name(Enum value) {
  const auto* known = google::protobuf::GetEnumDescriptor<Enum>()->FindValueByNumber(value);
  return known ? known->name() : std::to_string(value);
}

// A call that was refused: a code and, when the server itself refused it, typed details.
class RpcError : public std::runtime_error {
 public:
  explicit RpcError(const grpc::Status& status);

  grpc::StatusCode status_code() const { return code_; }
  std::string code() const { return name_of(code_); }

  // What a program switches on, for example FEATURE_TABLE_CONFLICT; empty when the error is not the server's own.
  std::string reason() const {
    auto info = detail<google::rpc::ErrorInfo>();
    return info ? info->reason() : "";
  }

  // The paths of the fields that are not as they should be, sorted.
  std::vector<std::string> fields() const;

  // The detail of this type, if there is one. Details of types that are not known here do no harm.
  template <typename Detail>
  std::optional<Detail> detail() const {
    Detail found;
    for (const auto& any : details_.details()) {
      if (any.UnpackTo(&found)) return found;
    }
    return std::nullopt;
  }

 private:
  grpc::StatusCode code_;
  google::rpc::Status details_;
};

inline void check(const grpc::Status& status) {
  if (!status.ok()) throw RpcError(status);
}

// Makes a unary call. Without a deadline it would wait for ever.
template <typename Stub, typename Request, typename Response>
Response call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
              std::chrono::milliseconds at_most = std::chrono::seconds(30)) {
  grpc::ClientContext context;  // one for each call
  context.set_deadline(std::chrono::system_clock::now() + at_most);
  Response response;
  check((stub.*method)(&context, request, &response));
  return response;
}

// Reads a stream to its end. That there is no more to read is not yet a good end: `Finish` says which it is.
template <typename Response, typename Take>
void read_all(grpc::ClientReader<Response>& stream, Take take) {
  Response response;
  while (stream.Read(&response)) take(response);
  check(stream.Finish());
}
