package org.opensciencearchive.example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import com.google.protobuf.Struct;
import com.google.protobuf.UnknownFieldSet;
import com.google.protobuf.util.JsonFormat;
import com.google.protobuf.util.Timestamps;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.opensciencearchive.v1.ColumnDef;
import org.opensciencearchive.v1.ColumnInfo;
import org.opensciencearchive.v1.Convention;
import org.opensciencearchive.v1.CreateDepositionRequest;
import org.opensciencearchive.v1.Deposition;
import org.opensciencearchive.v1.DepositionFile;
import org.opensciencearchive.v1.DownloadFileRequest;
import org.opensciencearchive.v1.DownloadFileResponse;
import org.opensciencearchive.v1.FeatureTableConflict;
import org.opensciencearchive.v1.GetConventionRequest;
import org.opensciencearchive.v1.GetServerInfoRequest;
import org.opensciencearchive.v1.HookDefinition;
import org.opensciencearchive.v1.JsonType;
import org.opensciencearchive.v1.QueryFeaturesRequest;
import org.opensciencearchive.v1.QueryFeaturesResponse;
import org.opensciencearchive.v1.ReadRunLogRequest;
import org.opensciencearchive.v1.ReadRunLogResponse;
import org.opensciencearchive.v1.RegisterConventionRequest;
import org.opensciencearchive.v1.SubmitDepositionRequest;
import org.opensciencearchive.v1.SubmitDepositionResponse;
import org.opensciencearchive.v1.UploadFileHeader;
import org.opensciencearchive.v1.UploadFileRequest;
import org.opensciencearchive.v1.UploadFileResponse;
import org.opensciencearchive.v1.Value;
import org.opensciencearchive.v1.WatchConventionRequest;
import org.opensciencearchive.v1.WatchConventionResponse;

/** A client of osa-grpc in Java: from a convention to the rows of a published structure. See ../SCENARIO.md. */
public final class Road {

    private static final String CHAINS = "chains";
    private static final int CHUNK_BYTES = 64 * 1024;
    private static final Gson JSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    // Java's own would encode as the locale says.
    private static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    private final String address;
    private final Path structure;
    private final Convention convention;
    private Archive archive;
    private String conventionName;
    private String deposition;
    private String file;
    private String run;
    private String token;

    private interface Step {
        Map<String, ?> take() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 3) {
            System.err.println("usage: run ADDRESS STRUCTURE CONVENTION");
            System.exit(2);
        }
        Road road = new Road(arguments[0], Path.of(arguments[1]), Path.of(arguments[2]));
        try {
            road.show("server_info", road::serverInfo);
            road.show("validate_only", road::validateOnly);
            road.show("register", road::register);
            road.show("register_again", road::registerAgain);
            road.show("conflict", road::conflict);
            road.show("upload", road::upload);
            road.show("submit", road::submit);
            road.show("watch", road::watch);
            road.show("log", road::log);
            road.show("query", road::query);
            road.show("download", road::download);
            road.show("errors", road::errors);
        } finally {
            road.archive.close();
        }
    }

    private Road(String address, Path structure, Path convention) throws IOException {
        this.address = address;
        this.structure = structure;
        this.convention = fromJson(convention, Convention.newBuilder()).build();
        this.archive = new Archive(address);
    }

    private void show(String name, Step step) throws Exception {
        Map<String, ?> saw = new TreeMap<>(step.take());
        OUT.println(JSON.toJson(new TreeMap<>(Map.of("step", name, "saw", saw))));
    }

    private Map<String, ?> serverInfo() throws StatusException {
        var info = archive.server.getServerInfo(GetServerInfoRequest.getDefaultInstance()).getServerInfo();
        return Map.of(
                "runtimes", info.getRuntimesList(),
                "feature_kinds", info.getFeatureKindsList(),
                "container_contracts", info.getContainerContractsList());
    }

    private Map<String, ?> validateOnly() throws StatusException {
        String name = register(convention, true).getName();
        boolean stored = true;
        try {
            archive.conventions.getConvention(GetConventionRequest.newBuilder().setName(name).build());
        } catch (StatusException refused) {
            if (refused.getStatus().getCode() != Status.Code.NOT_FOUND) {
                throw refused;
            }
            stored = false;
        }
        return Map.of("name", name, "stored", stored);
    }

    private Map<String, ?> register() throws Exception {
        Convention registered = register(convention, false);
        conventionName = registered.getName();
        // Its tables are being made. The stream ends once it is READY or FAILED.
        var call = archive.conventions.watchConvention(WatchConventionRequest.newBuilder().setName(conventionName).build());
        WatchConventionResponse response;
        while ((response = call.read()) != null) {
            registered = response.getConvention();
        }
        return Map.of(
                "name", registered.getName(),
                "state", EnumNames.nameOf(registered.getState(), registered.getStateValue()),
                "feature_tables", registered.getFeatureTablesList());
    }

    private Map<String, ?> registerAgain() throws StatusException {
        Convention again = register(convention, false);
        return Map.of(
                "same_name", again.getName().equals(conventionName),
                "state", EnumNames.nameOf(again.getState(), again.getStateValue()));
    }

    private Map<String, ?> conflict() {
        Convention.Builder other = convention.toBuilder().clearName().setVersion("2.0.0");
        for (HookDefinition.Builder hook : other.getHooksBuilderList()) {
            for (ColumnDef.Builder column : hook.getTableBuilder().getColumnsBuilderList()) {
                if (hook.getName().equals(CHAINS) && column.getName().equals("residue_count")) {
                    column.setJsonType(JsonType.JSON_TYPE_STRING);
                }
            }
        }
        Refusal refusal = refusalOf(() -> register(other.build(), false));
        var columns = refusal.detail(FeatureTableConflict.class).stream()
                .flatMap(conflict -> conflict.getColumnsList().stream())
                .map(column -> new TreeMap<>(Map.of(
                        "column", column.getColumn(), "expected", column.getExpected(), "found", column.getFound())))
                .toList();
        return Map.of("code", refusal.code(), "reason", refusal.reason(), "columns", columns);
    }

    private Map<String, ?> upload() throws Exception {
        deposition = newDeposition();
        var header = UploadFileHeader.newBuilder()
                .setParent(deposition)
                .setFileName(structure.getFileName().toString())
                .setSizeBytes(Files.size(structure))
                .setSha256(sha256(Files.newInputStream(structure)))
                .setMediaType("chemical/x-mmcif");
        BlockingClientCall<UploadFileRequest, UploadFileResponse> call =
                archive.depositions.withDeadlineAfter(10, TimeUnit.MINUTES).uploadFile();
        boolean open = call.write(UploadFileRequest.newBuilder().setHeader(header).build());
        try (InputStream in = Files.newInputStream(structure)) {
            byte[] chunk;
            // `write` waits while the server is slower than the disk. It is false when the server has answered already: it wants no more.
            while (open && (chunk = in.readNBytes(CHUNK_BYTES)).length > 0) {
                open = call.write(UploadFileRequest.newBuilder().setChunk(ByteString.copyFrom(chunk)).build());
            }
        }
        call.halfClose();
        DepositionFile uploaded = call.read().getFile();
        file = uploaded.getName();
        return Map.of(
                "file_name", uploaded.getFileName(), "size_bytes", uploaded.getSizeBytes(), "sha256", uploaded.getSha256());
    }

    private Map<String, ?> submit() throws StatusException {
        SubmitDepositionResponse answer =
                archive.depositions.submitDeposition(SubmitDepositionRequest.newBuilder().setName(deposition).build());
        run = answer.getRun().getName();
        token = answer.getResumeToken();
        return Map.of("state", EnumNames.nameOf(answer.getRun().getState(), answer.getRun().getStateValue()));
    }

    private Map<String, ?> watch() throws Exception {
        RunWatch watch = new RunWatch(run, token);
        while (!watch.follow(archive)) {
            archive.close();
            watch.pause();
            archive = new Archive(address);
        }
        return Map.of(
                "connections", watch.connections,
                "each_once", watch.eachOnce(),
                "kinds", watch.kinds,
                "end", watch.end,
                "closed_with", watch.closedWith.name());
    }

    private Map<String, ?> log() throws Exception {
        var call = archive.runs.readRunLog(ReadRunLogRequest.newBuilder().setName(run + "/executions/" + CHAINS).build());
        MessageDigest digest = sha256();
        long size = 0;
        ReadRunLogResponse piece;
        while ((piece = call.read()) != null) {
            ByteString bytes = switch (piece.getContentCase()) {
                case TEXT -> piece.getTextBytes(); // when it is valid UTF-8
                case DATA -> piece.getData();
                case CONTENT_NOT_SET -> ByteString.EMPTY;
            };
            digest.update(bytes.asReadOnlyByteBuffer());
            size += bytes.size();
        }
        return Map.of("size_bytes", size, "sha256", HexFormat.of().formatHex(digest.digest()));
    }

    private Map<String, ?> query() throws StatusException {
        var request = QueryFeaturesRequest.newBuilder()
                .setFeatureTable("featureTables/" + CHAINS)
                .setFilter("residue_count > 1")
                .setOrderBy("chain_id desc")
                .addAllColumns(List.of("chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"))
                .setPageSize(2);
        List<String> columns = List.of();
        List<Object> pages = new ArrayList<>();
        do {
            QueryFeaturesResponse page = archive.features.queryFeatures(request.build());
            columns = page.getColumnsList().stream().map(ColumnInfo::getName).toList();
            pages.add(page.getRowsList().stream()
                    .map(row -> row.getValuesList().stream().map(Road::jsonOf).toList())
                    .toList());
            request.setPageToken(page.getNextPageToken()); // all the rest has to stay as it was
        } while (pages.size() < 2 && !request.getPageToken().isEmpty());
        return Map.of("columns", columns, "pages", pages);
    }

    /** What a value stands for, as Gson writes it. */
    private static Object jsonOf(Value value) {
        return switch (value.getKindCase()) {
            case TEXT -> value.getText();
            case NUMBER -> value.getNumber();
            case INTEGER -> value.getInteger();
            case BOOLEAN -> value.getBoolean();
            case TIMESTAMP -> Timestamps.toString(value.getTimestamp());
            case DATE -> value.getDate();
            case UUID -> value.getUuid();
            case JSON -> JsonParser.parseString(value.getJson());
            case NULL -> null;
            // A kind of a newer contract: to take it for null would be wrong data.
            case KIND_NOT_SET -> throw new IllegalStateException("a value of a kind that is not known here: a newer client is needed");
        };
    }

    private Map<String, ?> download() throws Exception {
        var call = archive.depositions.downloadFile(DownloadFileRequest.newBuilder().setName(file).build());
        Path copy = Files.createTempFile("osa-", ".part");
        try {
            try (var out = Files.newOutputStream(copy)) {
                DownloadFileResponse piece;
                while ((piece = call.read()) != null) {
                    piece.getData().writeTo(out);
                }
            }
            return Map.of("same", Files.mismatch(copy, structure) == -1, "sha256", sha256(Files.newInputStream(copy)));
        } finally {
            Files.delete(copy);
        }
    }

    private Map<String, ?> errors() throws Exception {
        // What a client of a newer contract would send. The fields of a newer contract that are read are kept in the same place.
        var nextflow = UnknownFieldSet.newBuilder().addField(1, bytesField(ByteString.copyFromUtf8("main.nf"))).build();
        var unknownArm = UnknownFieldSet.newBuilder().addField(11, bytesField(nextflow.toByteString())).build();
        var unknownField = UnknownFieldSet.newBuilder()
                .addField(99, UnknownFieldSet.Field.newBuilder().addVarint(1).build())
                .build();
        return Map.of(
                "bad_name", refused(() -> registerWithHook(hook -> hook.setName("Bad Name"))),
                "unknown_column", refused(() -> archive.features.queryFeatures(QueryFeaturesRequest.newBuilder()
                        .setFeatureTable("featureTables/" + CHAINS)
                        .setFilter("no_such_column > 1")
                        .build())),
                "empty_oneof", refused(() -> registerWithHook(hook -> hook.clearRuntime())),
                "unknown_arm", refused(() -> registerWithHook(hook -> hook.clearRuntime().setUnknownFields(unknownArm))),
                "unknown_field", refused(() -> registerWithHook(hook -> hook.getOciBuilder().setUnknownFields(unknownField))),
                "expired_deadline", Map.of("code", refusalOf(() -> archive.server
                        .withDeadlineAfter(0, TimeUnit.SECONDS)
                        .getServerInfo(GetServerInfoRequest.getDefaultInstance())).code()),
                "cancelled", Map.of("code", refusalOf(this::cancelUpload).code()));
    }

    private static UnknownFieldSet.Field bytesField(ByteString bytes) {
        return UnknownFieldSet.Field.newBuilder().addLengthDelimited(bytes).build();
    }

    private Convention registerWithHook(Consumer<HookDefinition.Builder> change) throws StatusException {
        Convention.Builder changed = convention.toBuilder();
        change.accept(changed.getHooksBuilder(0));
        return register(changed.build(), true);
    }

    /** Begins an upload and thinks better of it. Nothing of the file is kept. */
    private UploadFileResponse cancelUpload() throws Exception {
        var header = UploadFileHeader.newBuilder().setParent(newDeposition()).setFileName("abandoned.cif");
        var call = archive.depositions.uploadFile();
        call.write(UploadFileRequest.newBuilder().setHeader(header).build());
        call.write(UploadFileRequest.newBuilder().setChunk(ByteString.copyFromUtf8("data_")).build());
        call.cancel("thought better of it", null);
        return call.read();
    }

    private Convention register(Convention wanted, boolean validateOnly) throws StatusException {
        return archive.conventions.registerConvention(RegisterConventionRequest.newBuilder()
                .setConventionId("pdb-structures")
                .setConvention(wanted)
                .setValidateOnly(validateOnly)
                .build()).getConvention();
    }

    /** Makes a draft with the structure's metadata. */
    private String newDeposition() throws Exception {
        String entry = structure.getFileName().toString().split("\\.", 2)[0];
        Path metadata = structure.resolveSibling("../metadata/" + entry + ".json");
        var draft = Deposition.newBuilder()
                .setConvention(conventionName)
                .setMetadata(fromJson(metadata, Struct.newBuilder()));
        return archive.depositions.createDeposition(CreateDepositionRequest.newBuilder().setDeposition(draft).build())
                .getDeposition()
                .getName();
    }

    private interface Call {
        Object make() throws Exception;
    }

    private static Refusal refusalOf(Call call) {
        try {
            call.make();
        } catch (StatusException refused) {
            return new Refusal(refused);
        } catch (Exception other) {
            throw new IllegalStateException(other);
        }
        throw new IllegalStateException("what should have been refused was accepted");
    }

    private static Map<String, ?> refused(Call call) {
        Refusal refusal = refusalOf(call);
        return new TreeMap<>(Map.of("code", refusal.code(), "reason", refusal.reason(), "fields", refusal.fields()));
    }

    private static <B extends Message.Builder> B fromJson(Path path, B into) throws IOException {
        JsonFormat.parser().merge(Files.readString(path), into);
        return into;
    }

    private static String sha256(InputStream content) throws IOException {
        try (var in = new DigestInputStream(content, sha256())) {
            in.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(in.getMessageDigest().digest());
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException everyJavaHasIt) {
            throw new IllegalStateException(everyJavaHasIt);
        }
    }
}
