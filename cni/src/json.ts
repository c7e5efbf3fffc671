/** Fields of the network configuration, with the errors of the CNI specification. */
import { FieldReader, type Json, type JsonObject } from '@flannel-ts/flannel/go-json';
import { CniError, ErrorCode } from './errors.ts';

function fieldsOf(object: JsonObject): FieldReader {
  return new FieldReader(
    object,
    (message) => new CniError(ErrorCode.decodeFailure, `error unmarshall network config: ${message}`),
  );
}

export function stringField(object: JsonObject, name: string, path = name): string | undefined {
  return fieldsOf(object).string(name, path);
}

export function booleanField(object: JsonObject, name: string, path = name): boolean | undefined {
  return fieldsOf(object).boolean(name, path);
}

export function integerField(object: JsonObject, name: string, path = name): number | undefined {
  return fieldsOf(object).integer(name, path);
}

export function objectField(object: JsonObject, name: string, path = name): JsonObject | undefined {
  return fieldsOf(object).nested(name, path);
}

export function arrayField(object: JsonObject, name: string, path = name): readonly Json[] | undefined {
  return fieldsOf(object).array(name, path);
}

export function stringsField(object: JsonObject, name: string, path = name): readonly string[] | undefined {
  return fieldsOf(object).strings(name, path);
}

export function objectsField(object: JsonObject, name: string, path = name): readonly JsonObject[] | undefined {
  return fieldsOf(object).objects(name, path);
}
