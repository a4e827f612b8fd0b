// A client of osa-grpc in C++: from a convention to the rows of a published structure. See ../SCENARIO.md.

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <openssl/evp.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "archive.h"
#include "opensciencearchive/v1/error_details.pb.h"
#include "run_watch.h"

using nlohmann::json;  // keeps its keys sorted
namespace fs = std::filesystem;

namespace {

constexpr char kChains[] = "chains";
constexpr std::size_t kChunkBytes = 64 * 1024;

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

// Reads a message in protobuf's own JSON mapping.
template <typename Message>
Message from_json(const fs::path& path) {
  Message message;
  auto status = google::protobuf::util::JsonStringToMessage(content_of(path), &message);
  if (!status.ok()) throw std::runtime_error(path.string() + ": " + status.ToString());
  return message;
}

std::string sha256(const std::string& content) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (!EVP_Digest(content.data(), content.size(), digest, &size, EVP_sha256(), nullptr)) throw std::runtime_error("no SHA-256");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

template <typename Strings>
json list_of(const Strings& strings) {
  return json(std::vector<std::string>(strings.begin(), strings.end()));
}

// What a value stands for.
json json_of(const osa::Value& value) {
  switch (value.kind_case()) {
    case osa::Value::kText:
      return value.text();
    case osa::Value::kNumber:
      return value.number();
    case osa::Value::kInteger:
      return value.integer();
    case osa::Value::kBoolean:
      return value.boolean();
    case osa::Value::kTimestamp:
      return google::protobuf::util::TimeUtil::ToString(value.timestamp());
    case osa::Value::kDate:
      return value.date();
    case osa::Value::kUuid:
      return value.uuid();
    case osa::Value::kJson:
      return json::parse(value.json());
    case osa::Value::kNull:
      return nullptr;
    case osa::Value::KIND_NOT_SET:  // a kind of a newer contract: to take it for null would be wrong data
      break;
  }
  throw std::runtime_error("a value of a kind that is not known here: a newer client is needed");
}

RpcError refusal_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const RpcError& refused) {
    return refused;
  }
  throw std::runtime_error("what should have been refused was accepted");
}

json refused(const std::function<void()>& call) {
  auto error = refusal_of(call);
  return {{"code", error.code()}, {"reason", error.reason()}, {"fields", error.fields()}};
}

class Road {
 public:
  Road(std::string address, fs::path structure, const fs::path& convention)
      : address_(std::move(address)),
        structure_(std::move(structure)),
        convention_(from_json<osa::Convention>(convention)),
        archive_(std::make_unique<Archive>(address_)) {}

  json server_info() {
    auto info = call(*archive_->server, &osa::ServerService::Stub::GetServerInfo, osa::GetServerInfoRequest()).server_info();
    return {{"runtimes", list_of(info.runtimes())},
            {"feature_kinds", list_of(info.feature_kinds())},
            {"container_contracts", list_of(info.container_contracts())}};
  }

  json validate_only() {
    auto name = register_convention(convention_, /*validate_only=*/true).name();
    osa::GetConventionRequest request;
    request.set_name(name);
    bool stored = true;
    try {
      call(*archive_->conventions, &osa::ConventionService::Stub::GetConvention, request);
    } catch (const RpcError& error) {
      if (error.status_code() != grpc::StatusCode::NOT_FOUND) throw;
      stored = false;
    }
    return {{"name", name}, {"stored", stored}};
  }

  json register_once() {
    auto registered = register_convention(convention_);
    name_ = registered.name();
    // Its tables are being made. The stream ends once it is READY or FAILED.
    osa::WatchConventionRequest request;
    request.set_name(name_);
    grpc::ClientContext context;
    read_all(*archive_->conventions->WatchConvention(&context, request), [&](auto& response) { registered = response.convention(); });
    return {{"name", registered.name()},
            {"state", enum_name(registered.state())},
            {"feature_tables", list_of(registered.feature_tables())}};
  }

  json register_again() {
    auto again = register_convention(convention_);
    return {{"same_name", again.name() == name_}, {"state", enum_name(again.state())}};
  }

  json conflict() {
    auto other = convention_;
    other.clear_name();
    other.set_version("2.0.0");
    for (auto& hook : *other.mutable_hooks()) {
      for (auto& column : *hook.mutable_table()->mutable_columns()) {
        if (hook.name() == kChains && column.name() == "residue_count") column.set_json_type(osa::JSON_TYPE_STRING);
      }
    }
    auto error = refusal_of([&] { register_convention(other); });
    auto columns = json::array();
    if (auto conflict = error.detail<osa::FeatureTableConflict>()) {
      for (const auto& column : conflict->columns()) {
        columns.push_back({{"column", column.column()}, {"expected", column.expected()}, {"found", column.found()}});
      }
    }
    return {{"code", error.code()}, {"reason", error.reason()}, {"columns", columns}};
  }

  json upload() {
    deposition_ = new_deposition();
    auto content = content_of(structure_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(10));
    osa::UploadFileResponse response;
    auto stream = archive_->depositions->UploadFile(&context, &response);
    osa::UploadFileRequest request;
    auto* header = request.mutable_header();
    header->set_parent(deposition_);
    header->set_file_name(structure_.filename());
    header->set_size_bytes(static_cast<std::int64_t>(content.size()));
    header->set_sha256(sha256(content));
    header->set_media_type("chemical/x-mmcif");
    // `Write` waits while the server is slower. It is false when the server has answered already: `Finish` says what.
    bool open = stream->Write(request);
    for (std::size_t start = 0; open && start < content.size(); start += kChunkBytes) {
      request.set_chunk(content.substr(start, kChunkBytes));
      open = stream->Write(request);
    }
    stream->WritesDone();
    check(stream->Finish());
    const auto& file = response.file();
    file_ = file.name();
    return {{"file_name", file.file_name()}, {"size_bytes", file.size_bytes()}, {"sha256", file.sha256()}};
  }

  json submit() {
    osa::SubmitDepositionRequest request;
    request.set_name(deposition_);
    auto answer = call(*archive_->depositions, &osa::DepositionService::Stub::SubmitDeposition, request);
    run_ = answer.run().name();
    token_ = answer.resume_token();
    return {{"state", enum_name(answer.run().state())}};
  }

  json watch() {
    RunWatch watch(run_, token_);
    while (!watch.follow(*archive_)) {
      archive_.reset();
      std::this_thread::sleep_for(watch.pause());
      archive_ = std::make_unique<Archive>(address_);
    }
    return {{"connections", watch.connections},
            {"each_once", watch.each_once()},
            {"kinds", watch.kinds},
            {"end", watch.end},
            {"closed_with", watch.closed_with}};
  }

  json log() {
    osa::ReadRunLogRequest request;
    request.set_name(run_ + "/executions/" + kChains);
    std::string log;
    grpc::ClientContext context;
    read_all(*archive_->runs->ReadRunLog(&context, request), [&](auto& piece) {
      log += piece.has_text() ? piece.text() : piece.data();  // text when it is valid UTF-8
    });
    return {{"size_bytes", log.size()}, {"sha256", sha256(log)}};
  }

  json query() {
    osa::QueryFeaturesRequest request;
    request.set_feature_table(std::string("featureTables/") + kChains);
    request.set_filter("residue_count > 1");
    request.set_order_by("chain_id desc");
    for (const char* column : {"chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"}) request.add_columns(column);
    request.set_page_size(2);
    json columns, pages;
    do {
      auto page = call(*archive_->features, &osa::FeatureService::Stub::QueryFeatures, request);
      columns = json::array();
      for (const auto& column : page.columns()) columns.push_back(column.name());
      auto rows = json::array();
      for (const auto& row : page.rows()) {
        auto values = json::array();
        for (const auto& value : row.values()) values.push_back(json_of(value));
        rows.push_back(values);
      }
      pages.push_back(rows);
      request.set_page_token(page.next_page_token());  // all the rest has to stay as it was
    } while (pages.size() < 2 && !request.page_token().empty());
    return {{"columns", columns}, {"pages", pages}};
  }

  json download() {
    osa::DownloadFileRequest request;
    request.set_name(file_);
    std::string content;
    grpc::ClientContext context;
    read_all(*archive_->depositions->DownloadFile(&context, request), [&](auto& piece) { content += piece.data(); });
    return {{"same", content == content_of(structure_)}, {"sha256", sha256(content)}};
  }

  json errors() {
    osa::QueryFeaturesRequest unknown_column;
    unknown_column.set_feature_table(std::string("featureTables/") + kChains);
    unknown_column.set_filter("no_such_column > 1");
    return {
        {"bad_name", refused([&] { register_with_hook([](auto& hook) { hook.set_name("Bad Name"); }); })},
        {"unknown_column", refused([&] { call(*archive_->features, &osa::FeatureService::Stub::QueryFeatures, unknown_column); })},
        {"empty_oneof", refused([&] { register_with_hook([](auto& hook) { hook.clear_runtime(); }); })},
        {"unknown_arm", refused([&] {
           register_with_hook([](auto& hook) {
             // What a client of a newer contract would send. Fields of a newer contract that are read are kept in the same place.
             google::protobuf::UnknownFieldSet nextflow;
             nextflow.AddLengthDelimited(1, "main.nf");
             hook.clear_runtime();
             nextflow.SerializeToString(hook.GetReflection()->MutableUnknownFields(&hook)->AddLengthDelimited(11));
           });
         })},
        {"unknown_field", refused([&] {
           register_with_hook([](auto& hook) {
             auto* oci = hook.mutable_oci();
             oci->GetReflection()->MutableUnknownFields(oci)->AddVarint(99, 1);
           });
         })},
        {"expired_deadline", {{"code", refusal_of([&] {
                                 call(*archive_->server, &osa::ServerService::Stub::GetServerInfo, osa::GetServerInfoRequest(),
                                      std::chrono::milliseconds(-1));
                               }).code()}}},
        {"cancelled", {{"code", refusal_of([&] { cancel_upload(); }).code()}}},
    };
  }

 private:
  osa::Convention register_convention(const osa::Convention& wanted, bool validate_only = false) {
    osa::RegisterConventionRequest request;
    request.set_convention_id("pdb-structures");
    *request.mutable_convention() = wanted;
    request.set_validate_only(validate_only);
    return call(*archive_->conventions, &osa::ConventionService::Stub::RegisterConvention, request).convention();
  }

  void register_with_hook(const std::function<void(osa::HookDefinition&)>& change) {
    auto changed = convention_;
    change(*changed.mutable_hooks(0));
    register_convention(changed, /*validate_only=*/true);
  }

  // Begins an upload and thinks better of it. Nothing of the file is kept.
  void cancel_upload() {
    osa::UploadFileRequest header;
    header.mutable_header()->set_parent(new_deposition());
    header.mutable_header()->set_file_name("abandoned.cif");
    osa::UploadFileRequest chunk;
    chunk.set_chunk("data_");
    grpc::ClientContext context;
    osa::UploadFileResponse response;
    auto stream = archive_->depositions->UploadFile(&context, &response);
    stream->Write(header);
    stream->Write(chunk);
    context.TryCancel();  // may be called by another thread, too
    check(stream->Finish());
  }

  // Makes a draft with the structure's metadata.
  std::string new_deposition() {
    auto file_name = structure_.filename().string();
    auto metadata = structure_.parent_path() / ".." / "metadata" / (file_name.substr(0, file_name.find('.')) + ".json");
    osa::CreateDepositionRequest request;
    request.mutable_deposition()->set_convention(name_);
    *request.mutable_deposition()->mutable_metadata() = from_json<google::protobuf::Struct>(metadata);
    return call(*archive_->depositions, &osa::DepositionService::Stub::CreateDeposition, request).deposition().name();
  }

  std::string address_;
  fs::path structure_;
  osa::Convention convention_;
  std::unique_ptr<Archive> archive_;
  std::string name_, deposition_, file_, run_, token_;
};

}  // namespace

int main(int count, char** arguments) try {
  if (count != 4) {
    std::cerr << "usage: run ADDRESS STRUCTURE CONVENTION\n";
    return 2;
  }
  Road road(arguments[1], arguments[2], arguments[3]);
  const std::pair<const char*, json (Road::*)()> steps[] = {
      {"server_info", &Road::server_info}, {"validate_only", &Road::validate_only},
      {"register", &Road::register_once},  {"register_again", &Road::register_again},
      {"conflict", &Road::conflict},       {"upload", &Road::upload},
      {"submit", &Road::submit},           {"watch", &Road::watch},
      {"log", &Road::log},                 {"query", &Road::query},
      {"download", &Road::download},       {"errors", &Road::errors},
  };
  for (const auto& [name, take] : steps) {
    json saw = (road.*take)();
    std::cout << json{{"step", name}, {"saw", saw}} << std::endl;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
