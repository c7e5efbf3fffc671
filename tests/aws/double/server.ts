/** Serves a package's resources to the Pulumi CLI, by the SDK's own protocol files. */
import * as grpc from '@grpc/grpc-js';
import plugin from '@pulumi/pulumi/proto/plugin_pb';
import { ResourceProviderService } from '@pulumi/pulumi/proto/provider_grpc_pb';
import provider from '@pulumi/pulumi/proto/provider_pb';
import status from '@pulumi/pulumi/proto/status_pb';
import any from 'google-protobuf/google/protobuf/any_pb.js';
import empty from 'google-protobuf/google/protobuf/empty_pb.js';
import type { Difference } from './provider.ts';
import type { Problem } from './schema.ts';
import { type Bag, fromStruct, toStruct } from './values.ts';

export interface Request {
  /** Which of the CLI's connections it came by: one for each provider resource. */
  readonly connection: string;
  readonly urn: string;
  readonly type: string;
  readonly name: string;
}

export interface Made {
  readonly id: string;
  readonly outputs: Bag;
}

/** Made, but not as it should be: the CLI keeps it in the state and tries again. */
export class HalfMade extends Error {
  constructor(
    message: string,
    readonly made: Made,
    readonly inputs: Bag,
  ) {
    super(message);
  }
}

/** What a package offers. Every answer may be an exception, whose message becomes the CLI's. */
export interface Package {
  readonly version: string;
  checkConfig(request: Request, inputs: Bag): readonly Problem[];
  configure(connection: string, inputs: Bag): void;
  check(
    request: Request,
    olds: Bag,
    news: Bag,
    seed: Uint8Array,
  ): { readonly inputs: Bag; readonly problems: readonly Problem[] };
  diff(request: Request, oldInputs: Bag, news: Bag, outputs: Bag): Difference;
  create(request: Request, inputs: Bag, preview: boolean): Promise<Made>;
  read(
    request: Request,
    id: string,
    inputs: Bag,
  ): Promise<{ readonly id: string; readonly inputs: Bag; readonly outputs: Bag } | undefined>;
  update(request: Request, id: string, olds: Bag, news: Bag, preview: boolean): Promise<Bag>;
  delete(request: Request, id: string): Promise<void>;
  invoke(connection: string, token: string, args: Bag): Bag;
}

/** Gives the port. */
export async function serve(served: Package): Promise<number> {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  server.addService(ResourceProviderService as unknown as grpc.ServiceDefinition, handlers(served));
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}

function handlers(served: Package): grpc.UntypedServiceImplementation {
  return {
    ...configuration(served),
    ...lifeCycle(served),
    getPluginInfo: answer(() => {
      const info = new plugin.PluginInfo();
      info.setVersion(served.version);
      return info;
    }),
    getSchema: answer(() => {
      const response = new provider.GetSchemaResponse();
      response.setSchema('{}');
      return response;
    }),
    attach: answer(() => new empty.Empty()),
    cancel: answer(() => new empty.Empty()),
    invoke: answer((message: InstanceType<typeof provider.InvokeRequest>, connection) => {
      const response = new provider.InvokeResponse();
      response.setReturn(toStruct(served.invoke(connection, message.getTok(), fromStruct(message.getArgs()))));
      return response;
    }),
  };
}

/** The SDK's own server answers the first two as not implemented, and does not hand on what Configure brings. */
function configuration(served: Package): grpc.UntypedServiceImplementation {
  return {
    checkConfig: answer((message: InstanceType<typeof provider.CheckRequest>, connection) => {
      const inputs = fromStruct(message.getNews());
      return checked(inputs, served.checkConfig(about(message, connection), inputs));
    }),
    diffConfig: answer((message: InstanceType<typeof provider.DiffRequest>) => {
      const same = JSON.stringify(fromStruct(message.getOldInputs())) === JSON.stringify(fromStruct(message.getNews()));
      return differing({ changed: same ? [] : ['configuration'], replaces: [], deleteBeforeReplace: false });
    }),
    configure: answer((message: InstanceType<typeof provider.ConfigureRequest>, connection) => {
      served.configure(connection, fromStruct(message.getArgs()));
      const response = new provider.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      return response;
    }),
  };
}

function lifeCycle(served: Package): grpc.UntypedServiceImplementation {
  return {
    check: answer((message: InstanceType<typeof provider.CheckRequest>, connection) => {
      const [olds, news] = [fromStruct(message.getOlds()), fromStruct(message.getNews())];
      const { inputs, problems } = served.check(about(message, connection), olds, news, message.getRandomseed_asU8());
      return checked(inputs, problems);
    }),
    diff: answer((message: InstanceType<typeof provider.DiffRequest>, connection) => {
      const [olds, news] = [fromStruct(message.getOldInputs()), fromStruct(message.getNews())];
      return differing(served.diff(about(message, connection), olds, news, fromStruct(message.getOlds())));
    }),
    create: answer(async (message: InstanceType<typeof provider.CreateRequest>, connection) => {
      const made = await served.create(
        about(message, connection),
        fromStruct(message.getProperties()),
        message.getPreview(),
      );
      const response = new provider.CreateResponse();
      response.setId(made.id);
      response.setProperties(toStruct(made.outputs));
      return response;
    }),
    read: answer(async (message: InstanceType<typeof provider.ReadRequest>, connection) => {
      const found = await served.read(about(message, connection), message.getId(), fromStruct(message.getInputs()));
      const response = new provider.ReadResponse();
      if (found === undefined) return response; // without an id: it is gone
      response.setId(found.id);
      response.setProperties(toStruct(found.outputs));
      response.setInputs(toStruct(found.inputs));
      return response;
    }),
    update: answer(async (message: InstanceType<typeof provider.UpdateRequest>, connection) => {
      const [olds, news] = [fromStruct(message.getOlds()), fromStruct(message.getNews())];
      const request = about(message, connection);
      const response = new provider.UpdateResponse();
      response.setProperties(toStruct(await served.update(request, message.getId(), olds, news, message.getPreview())));
      return response;
    }),
    delete: answer(async (message: InstanceType<typeof provider.DeleteRequest>, connection) => {
      await served.delete(about(message, connection), message.getId());
      return new empty.Empty();
    }),
  };
}

function answer<T, R>(handler: (message: T, connection: string) => R | Promise<R>): grpc.handleUnaryCall<T, R> {
  return (call, callback) => {
    Promise.resolve()
      .then(() => handler(call.request, call.getPeer()))
      .then(
        (response) => callback(null, response),
        (error: Error) => callback(failure(error)),
      );
  };
}

/** The CLI finds a resource that was half made in the details of a google.rpc.Status, in the trailer "grpc-status-details-bin". */
function failure(error: Error): Partial<grpc.StatusObject> {
  const plainly = { code: grpc.status.UNKNOWN, details: error.message };
  if (!(error instanceof HalfMade)) return plainly;
  const detail = new provider.ErrorResourceInitFailed();
  detail.setId(error.made.id);
  detail.setProperties(toStruct(error.made.outputs));
  detail.setInputs(toStruct(error.inputs));
  detail.setReasonsList([error.message]);
  const packed = new any.Any();
  packed.pack(detail.serializeBinary(), 'pulumirpc.ErrorResourceInitFailed');
  const whole = new status.Status();
  whole.setCode(grpc.status.UNKNOWN);
  whole.setMessage(error.message);
  whole.addDetails(packed);
  const metadata = new grpc.Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(whole.serializeBinary()));
  return { ...plainly, metadata };
}

interface Addressed {
  getUrn(): string;
  getType(): string;
  getName(): string;
}

function about(message: Addressed, connection: string): Request {
  const urn = message.getUrn();
  const [, , types = '', name = ''] = urn.replace(/^urn:pulumi:/, '').split('::');
  return { connection, urn, type: message.getType() || types.split('$').at(-1)!, name: message.getName() || name };
}

function checked(inputs: Bag, problems: readonly Problem[]): InstanceType<typeof provider.CheckResponse> {
  const response = new provider.CheckResponse();
  response.setInputs(toStruct(inputs));
  response.setFailuresList(
    problems.map(({ property, reason }) => {
      const failed = new provider.CheckFailure();
      failed.setProperty(property);
      failed.setReason(reason);
      return failed;
    }),
  );
  return response;
}

function differing({ changed, replaces, deleteBeforeReplace }: Difference): InstanceType<typeof provider.DiffResponse> {
  const { DiffChanges } = provider.DiffResponse;
  const response = new provider.DiffResponse();
  response.setChanges(changed.length > 0 ? DiffChanges.DIFF_SOME : DiffChanges.DIFF_NONE);
  response.setDiffsList([...changed]);
  response.setReplacesList([...replaces]);
  response.setDeletebeforereplace(deleteBeforeReplace);
  return response;
}
